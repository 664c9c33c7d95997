/** Check a file before it is sent: the service refuses a whole request because of one such file. */

import { limits } from "./config.js";

const HEAD_BYTES = 12;

/** Return an error code, or null if the service should accept the file. */
export async function problemOf(file) {
  if (file.size > limits.fileBytes) return "file_too_large";
  let head;
  try {
    head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  } catch {
    return "unreadable"; // moved or deleted since it was chosen
  }
  if (head.length === 0) return "empty_file";
  if (isAccepted(head)) return null;
  return isHeic(head) ? "heic" : "unsupported_format";
}

function isAccepted(head) {
  const begins = (...bytes) => bytes.every((byte, place) => head[place] === byte);
  return (
    begins(0xff, 0xd8, 0xff) ||
    begins(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a) ||
    (text(head, 0) === "RIFF" && text(head, 8) === "WEBP")
  );
}

function isHeic(head) {
  return text(head, 4) === "ftyp" && /^(hei|hev|mif1|msf1)/.test(text(head, 8));
}

function text(head, start) {
  return String.fromCharCode(...head.slice(start, start + 4));
}
