// Verifies webhooks of plate-detect, and stores what they carry. It needs nothing but Node.
import { createHash, createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";

const TOLERANCE_SECONDS = 300;
const TASK_ID = /^[A-Za-z0-9_-]{1,64}$/;
const PLAIN_NAME = /^(?!\.{1,2}$)[^\x00-\x1f\x7f/\\]+$/;

const env = (name) => process.env[name] ?? "";
export const folder = () => env("IMAGES_FOLDER") || "images";
export const imagesField = () => env("WEBHOOK_IMAGES_FIELD") || "images";

// The webhook is not genuine: respond with 401.
export class WebhookError extends Error {}

const secrets = () => {
  const texts = env("WEBHOOK_SECRET").split(",").map((text) => text.trim());
  const keys = texts.map((text) => Buffer.from(text.replace(/^whsec_/, ""), "base64"));
  if (keys.some((key) => key.length === 0)) throw new Error("WEBHOOK_SECRET is empty");
  return keys;
};

// `header` returns the value of a header, by its name. Throws before a body that is not signed is read.
export function signatureOf(header) {
  const [id, time, signatures] = ["id", "timestamp", "signature"].map((name) => header(`webhook-${name}`));
  if (!id || !time || !signatures) throw new WebhookError("not signed");
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= TOLERANCE_SECONDS)) {
    throw new WebhookError("too old or too new");
  }
  return { id, time, signatures: signatures.split(" ") };
}

// `signed` is the body of a callback (a Buffer), or the manifest of an upload (a string).
export function verify({ id, time, signatures }, signed) {
  for (const key of secrets()) {
    const digest = createHmac("sha256", key).update(`${id}.${time}.`).update(signed).digest();
    const expected = Buffer.from(`v1,${digest.toString("base64")}`);
    for (const signature of signatures.map((text) => Buffer.from(text))) {
      if (signature.length === expected.length && timingSafeEqual(signature, expected)) return;
    }
  }
  throw new WebhookError("wrong signature");
}

// `images` are pairs of a file name and a SHA-256, in the order of the form.
export function verifyUpload(signature, taskId, images) {
  const names = images.map(([name]) => name);
  // The manifest is text: an id or a name with a line break could pass for other lines of it.
  if (!TASK_ID.test(taskId) || !names.every((name) => PLAIN_NAME.test(name))) {
    throw new WebhookError("a task id or a file name that the service does not send");
  }
  if (names.length === 0 || new Set(names).size < names.length) {
    throw new WebhookError("no images, or two of the same name");
  }
  verify(signature, [taskId, ...images.map((image) => image.join(" "))].join("\n"));
}

export async function verifyCallback(signature, body) {
  verify(signature, body);
  const { task_id: taskId } = JSON.parse(body);
  if (!TASK_ID.test(taskId)) throw new WebhookError("no state of a task");
  await store(folder(), `${taskId}.json`, body);
}

export const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

export async function sha256OfFile(file) {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex");
}

// Writes a file that nobody sees before it is complete.
export async function store(into, name, bytes) {
  await mkdir(into, { recursive: true });
  const part = path.join(into, `.${randomUUID()}.part`);
  try {
    await writeFile(part, bytes);
    await rename(part, path.join(into, name));
  } finally {
    await rm(part, { force: true });
  }
}
