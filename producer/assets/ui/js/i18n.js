/** Languages: the browser's own, unless the user chose one. */

import en from "../lang/en.js";
import ru from "../lang/ru.js";
import { read, write } from "./storage.js";

const LANGUAGES = { en, ru };
const changes = new EventTarget();
let language = initial();
let plurals = new Intl.PluralRules(language);

function initial() {
  const wanted = [read("localStorage", "language"), ...navigator.languages];
  for (const tag of wanted) {
    const code = tag?.slice(0, 2).toLowerCase();
    if (Object.hasOwn(LANGUAGES, code)) return code;
  }
  return "en";
}

export const currentLanguage = () => language;

/**
 * Return a text in the current language.
 *
 * values: fill `{name}`. `n` also chooses the form of a text that has several.
 */
export function t(key, values = {}) {
  let text = LANGUAGES[language][key];
  if (text === undefined) return key;
  if (typeof text === "object") text = text[plurals.select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

export const has = (key) => Object.hasOwn(LANGUAGES.en, key);

function shown(value) {
  return typeof value === "number" ? value.toLocaleString(language) : String(value);
}

export function megabytes(bytes) {
  const value = Math.max(bytes / 1_048_576, 0.1);
  const digits = value < 10 ? 1 : 0;
  return t("megabytes", { size: Number(value.toFixed(digits)) });
}

/** Rounded down: only a whole is 100 %. (The rest is for what floating point makes of 0.29.) */
export function percent(share) {
  const hundredths = Math.floor(share * 100 + 1e-9);
  return (hundredths / 100).toLocaleString(language, { style: "percent" });
}

export function dateTime(milliseconds) {
  const format = { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(language, format).format(milliseconds);
}

export function setLanguage(code) {
  language = code;
  plurals = new Intl.PluralRules(code);
  write("localStorage", "language", code);
  translatePage();
  changes.dispatchEvent(new Event("change"));
}

/** Call back now and after each change of the language. */
export function onLanguage(callback) {
  callback();
  changes.addEventListener("change", callback);
}

/** Write the texts of the page's HTML: `data-t` names that of an element, `data-t-label` its label. */
export function translatePage() {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = t(element.dataset.t);
  }
  for (const element of document.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
  }
}
