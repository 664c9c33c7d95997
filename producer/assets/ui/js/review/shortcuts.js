/** Keys of a single character can be switched off: speech input and some keyboards type them unasked. */

import { byId } from "../dom.js";
import { read, write } from "../storage.js";

let isOn = read("localStorage", "shortcuts") !== "off";

export const shortcutsAreOn = () => isOn;

/** Bring the page in line with the checkbox `shortcuts`, now and after each change; then call back. */
export function watchShortcuts(onChange) {
  const box = byId("shortcuts");
  const buttons = [...document.querySelectorAll("[aria-keyshortcuts]")];
  const keys = buttons.map((button) => button.getAttribute("aria-keyshortcuts"));
  const show = () => {
    document.body.classList.toggle("no-shortcuts", !isOn);
    buttons.forEach((button, number) => {
      if (isOn) button.setAttribute("aria-keyshortcuts", keys[number]);
      else button.removeAttribute("aria-keyshortcuts");
    });
  };
  box.checked = isOn;
  box.addEventListener("change", () => {
    isOn = box.checked;
    write("localStorage", "shortcuts", isOn ? null : "off");
    show();
    onChange();
  });
  show();
}
