/** The pictures of results. The browser keeps them and asks whether they have changed (ETag). */

import { resultFile } from "../api.js";
import { withRetries } from "../waiting.js";

const FEW_ATTEMPTS = 5;

export function fetchPicture(item, { signal, onPause }) {
  const load = () => resultFile(item.result, signal);
  return withRetries(load, { signal, onPause, attempts: FEW_ATTEMPTS });
}

/** Have the browser keep a picture, so that only its ETag must be asked for when its turn comes. */
export async function warm(item, signal) {
  try {
    if (item) await resultFile(item.result, signal);
  } catch {
    // It is loaded when its turn comes.
  }
}
