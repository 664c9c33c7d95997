/** Downloads of results: one, or all of them as a ZIP file that the browser makes itself. */

import { downloadZip } from "../../client-zip/index.js";
import { resultFile } from "./api.js";
import { el } from "./dom.js";
import { withRetries } from "./waiting.js";

const KEEP_MILLISECONDS = 60_000;

export async function savePhoto(photo) {
  offer(await fetched(photo), photo.result.filename);
}

/**
 * Save all results of these photos in one file; return how many could not be fetched.
 *
 * onProgress: gets how many are done. Results pass one after the other; none is kept in memory.
 */
export async function saveAll(photos, onProgress) {
  let missing = 0;
  async function* entries() {
    const names = new Set();
    for (const [number, photo] of photos.entries()) {
      onProgress(number);
      try {
        yield { name: freeName(photo, names), input: await fetched(photo), lastModified: new Date() };
      } catch {
        missing += 1;
      }
    }
  }
  const archive = await downloadZip(entries()).blob();
  if (missing < photos.length) offer(archive, `covered-${new Date().toISOString().slice(0, 10)}.zip`);
  return missing;
}

function fetched(photo) {
  return withRetries(() => resultFile(photo.result), { attempts: 4 });
}

/** Results of several tasks may have the same name. Folders stay as they were. */
function freeName(photo, taken) {
  const path = photo.folder ? `${photo.folder}/${photo.result.filename}` : photo.result.filename;
  let name = path;
  for (let count = 2; taken.has(name.toLowerCase()); count += 1) {
    name = path.replace(/(\.webp)?$/, ` (${count})$1`);
  }
  taken.add(name.toLowerCase());
  return name;
}

function offer(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEEP_MILLISECONDS);
}
