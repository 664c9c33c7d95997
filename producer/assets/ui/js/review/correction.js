/** Sends drawn covers, and waits until they are in the result. */

import { addCovers, newKey } from "../api.js";
import { pause, withRetries } from "../waiting.js";
import { rounded } from "./quads.js";

const MOST_ASKS = 60;
const MOST_SECONDS = 10;

/**
 * Add the drafts of an item; return its new result, or null if it takes longer than the patience.
 *
 * A repeat with the same covers has the same key, so that they are added once, whatever was lost.
 */
export async function sendDrafts(item, { signal, onPause, onAccepted }) {
  const covers = item.drafts.map(rounded);
  const text = JSON.stringify(covers);
  if (item.sent?.text !== text) item.sent = { key: newKey(), text };
  const options = { repeatKey: item.sent.key, signal };
  const ask = () => withRetries(() => addCovers(item.target, covers, options), { signal, onPause });
  for (let asked = 1; asked <= MOST_ASKS; asked += 1) {
    const { status, result } = await ask();
    if (status === "done") {
      item.sent = null;
      return result;
    }
    onAccepted();
    const seconds = Math.min(1.5 ** asked, MOST_SECONDS) * (1 + Math.random() / 4);
    await pause(seconds * 1000, signal);
  }
  return null;
}
