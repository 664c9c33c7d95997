/** The names that results will have, to tell while a task runs which photos are done. */

const MISREAD = /["\\/;%<>:|?*]/g;

/**
 * Return the likely name of each photo's result, by the service's rule: `covered_<stem>.webp`, and
 * `_2`, `_3`, … for a repeated stem. For odd characters it is not exact; then the photo's place in
 * the finished task tells.
 */
export function resultNames(fileNames) {
  const taken = new Set();
  return fileNames.map((fileName) => {
    const clean = fileName.normalize("NFC").trim().replace(MISREAD, "_");
    const dot = clean.lastIndexOf(".");
    const stem = dot > 0 ? clean.slice(0, dot) : clean;
    let name = `covered_${stem}.webp`;
    for (let count = 2; taken.has(name.toLowerCase()); count += 1) {
      name = `covered_${stem}_${count}.webp`;
    }
    taken.add(name.toLowerCase());
    return name;
  });
}
