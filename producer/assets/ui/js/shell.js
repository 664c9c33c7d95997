/** What every page has: its languages, and the button for the API key. */

import { keyIsNeeded } from "./config.js";
import { byId } from "./dom.js";
import { currentLanguage, onLanguage, setLanguage } from "./i18n.js";
import { askForKey } from "./key.js";

/** Show the page; translate: writes its own texts, now and after each change of the language. */
export function startPage(translate) {
  const buttons = document.querySelectorAll("[data-language]");
  for (const button of buttons) {
    button.addEventListener("click", () => setLanguage(button.dataset.language));
  }
  byId("key-button").hidden = !keyIsNeeded;
  byId("key-button").addEventListener("click", () => askForKey());
  onLanguage(() => {
    translate();
    for (const button of buttons) {
      const isCurrent = button.dataset.language === currentLanguage();
      button.setAttribute("aria-pressed", String(isCurrent));
    }
  });
  setLanguage(currentLanguage());
  document.body.classList.add("ready");
}
