/** Questions and messages of the page. */

import { byId, el } from "./dom.js";

/** Ask; return whether the answer is yes. */
export function confirmed(question, yes) {
  const dialog = byId("confirm-dialog");
  byId("confirm-text").textContent = question;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Show a message below the upload area; kind: `bad` for what went wrong. */
export function showNotice(text, kind = "") {
  const notices = byId("notices");
  const notice = el("p", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null }, text);
  notices.replaceChildren(...[...notices.children].filter((other) => other.textContent !== text));
  notices.append(notice);
}

export function clearNotices() {
  byId("notices").replaceChildren();
}
