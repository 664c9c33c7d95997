/** Where photos come from: a drop, a choice of files or of a folder, the camera, the clipboard. */

import { byId } from "./dom.js";

const MAX_PHOTOS = 2000;
const PICTURE = /\.(jpe?g|png|webp|hei[cf]|avif|gif|bmp|tiff?)$/i;

/** Call back with `{ files, left }`: files with their folders, and how many were left out. */
export function watchIntake(onFiles) {
  for (const id of ["choose-files", "choose-folder", "choose-camera"]) {
    const input = byId(id);
    input.addEventListener("change", () => {
      const chosen = [...input.files].map((file) => ({ file, folder: folderOf(file) }));
      input.value = ""; // so that the same photo can be chosen again
      onFiles(selected(chosen, id === "choose-folder"));
    });
  }
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length > 0) onFiles(selected(files.map((file) => ({ file, folder: "" })), false));
  });
  watchDrops(onFiles);
}

function watchDrops(onFiles) {
  const mark = (on) => document.body.classList.toggle("dragging", on);
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) mark(false);
  });
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    const entries = [...event.dataTransfer.items]
      .map((item) => item.webkitGetAsEntry?.())
      .filter(Boolean);
    if (entries.length === 0) {
      const files = [...event.dataTransfer.files].map((file) => ({ file, folder: "" }));
      onFiles(selected(files, false));
      return;
    }
    const found = [];
    for (const entry of entries) await collect(entry, "", found);
    onFiles(selected(found, entries.some((entry) => entry.isDirectory)));
  });
}

/** Of a folder only pictures are meant; a single file that somebody chose is always shown. */
function selected(found, fromFolder) {
  const meant = fromFolder ? found.filter(({ file }) => isPicture(file)).sort(byPath) : found;
  const files = meant.slice(0, MAX_PHOTOS);
  return { files, left: found.length - files.length };
}

/** A browser reads a folder in no order. */
function byPath(one, other) {
  const { compare } = new Intl.Collator(undefined, { numeric: true });
  return compare(one.folder, other.folder) || compare(one.file.name, other.file.name);
}

function isPicture(file) {
  return !file.name.startsWith(".") && (file.type.startsWith("image/") || PICTURE.test(file.name));
}

function folderOf(file) {
  return (file.webkitRelativePath ?? "").split("/").slice(0, -1).join("/");
}

async function collect(entry, folder, found) {
  if (found.length > 2 * MAX_PHOTOS) return;
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, folder });
    return;
  }
  const reader = entry.createReader();
  const inside = folder ? `${folder}/${entry.name}` : entry.name;
  for (;;) {
    // A reader gives at most 100 entries at a time.
    const entries = await new Promise((resolve) =>
      reader.readEntries(resolve, () => resolve([])),
    );
    if (entries.length === 0) return;
    for (const child of entries) await collect(child, inside, found);
  }
}
