/** The browser's storage, which may be switched off or full: the page works without it. */

import { storagePrefix } from "./config.js";

export function read(storage, name) {
  try {
    return globalThis[storage].getItem(storagePrefix + name);
  } catch {
    return null;
  }
}

/** Write a text; null removes it. */
export function write(storage, name, text) {
  try {
    if (text === null) globalThis[storage].removeItem(storagePrefix + name);
    else globalThis[storage].setItem(storagePrefix + name, text);
  } catch {
    // Nothing is kept then.
  }
}
