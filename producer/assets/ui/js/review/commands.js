/** What the page can do: each command has a button, `data-command` in the HTML, and a key. */

import { shortcutsAreOn } from "./shortcuts.js";

const KEYS = {
  a: "accept", c: "cover", u: "undo", s: "send", n: "next", p: "previous", d: "doubt",
  o: "outlines", "+": "in", "=": "in", "-": "out", "0": "whole", Escape: "escape", Enter: "enter",
  ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
};
const TYPING = "select, textarea, input:not([type=checkbox])";
const WITH_OWN_ENTER = "button, a, input, select";
const REPEATABLE = new Set(["in", "out", "left", "right", "up", "down"]);

/** run: gets the name of a command, and returns false if there is nothing to do. */
export function watchCommands(run) {
  for (const button of document.querySelectorAll("[data-command]")) {
    button.addEventListener("click", () => run(button.dataset.command));
  }
  document.addEventListener("keydown", (event) => {
    const name = commandOf(event);
    if (name === undefined || event.defaultPrevented || isElsewhere(event, name)) return;
    if (event.repeat && !REPEATABLE.has(name)) return;
    if (run(name) !== false) event.preventDefault();
  });
}

function commandOf(event) {
  if (event.altKey || event.metaKey || event.ctrlKey) {
    const isUndo = (event.metaKey || event.ctrlKey) && !event.shiftKey && event.code === "KeyZ";
    return isUndo ? "undo" : undefined;
  }
  // With a Cyrillic keyboard, the letter in the same place.
  const isOther = event.code.startsWith("Key") && !/^[a-z]$/i.test(event.key);
  const key = isOther ? event.code.slice(3) : event.key;
  if (key.length === 1 && !shortcutsAreOn()) return undefined;
  return KEYS[key.length === 1 ? key.toLowerCase() : key];
}

function isElsewhere({ target }, name) {
  if (document.querySelector("dialog[open]") || target.matches(TYPING)) return true;
  return name === "enter" && target.matches(WITH_OWN_ENTER);
}
