/** The API key: where it is kept, and the dialog that asks for it. */

import { keyIsNeeded } from "./config.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { read, write } from "./storage.js";

const HEADER = "X-API-Key";
// Of an API key; a header holds nothing else.
const SENDABLE = /^[!-~]{1,256}$/;

let key = read("sessionStorage", "key") ?? read("localStorage", "key") ?? "";
let asking = null;

/** Return the key with which a request is sent, and the headers that carry it. */
export function credentials() {
  return { key, headers: key ? { [HEADER]: key } : {} };
}

/** Ask for a key before the first request if the service needs one; say whether there is one. */
export async function haveKey() {
  return !keyIsNeeded || key !== "" || askForKey();
}

/** The service has refused a key: ask for another; say whether there is one. */
export async function renewKey(refused) {
  return key !== refused || askForKey(refused ? "key.refused" : "");
}

/** Show the dialog; all who ask meanwhile get the same answer: whether a key was entered. */
export function askForKey(problem = "") {
  asking ??= show(problem).finally(() => {
    asking = null;
  });
  return asking;
}

function show(problem) {
  const dialog = byId("key-dialog");
  const input = byId("key-input");
  byId("key-keep").checked = read("localStorage", "key") !== null;
  byId("key-forget").hidden = key === "";
  input.value = key;
  tell(problem);
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    const events = new AbortController();
    const end = (entered) => {
      events.abort();
      dialog.close();
      resolve(entered);
    };
    const options = { signal: events.signal };
    dialog.addEventListener("close", () => end(false), options);
    byId("key-cancel").addEventListener("click", () => end(false), options);
    byId("key-forget").addEventListener("click", () => {
      keep("", false);
      end(false);
    }, options);
    dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const value = input.value.trim();
      if (SENDABLE.test(value)) {
        keep(value, byId("key-keep").checked);
        end(true);
      } else {
        tell("key.refused");
        input.select();
      }
    }, options);
  });
}

function tell(problem) {
  const error = byId("key-error");
  error.hidden = problem === "";
  error.textContent = problem && t(problem);
  byId("key-input").setAttribute("aria-invalid", String(problem !== ""));
}

function keep(value, inBrowser) {
  key = value;
  write("sessionStorage", "key", value && !inBrowser ? value : null);
  write("localStorage", "key", value && inBrowser ? value : null);
}
