/** Sends photos as tasks: a few at a time, repeated while the service is busy. */

import { newKey, upload } from "./api.js";
import { problemOf } from "./check.js";
import { limits } from "./config.js";
import { Limit, withRetries } from "./waiting.js";

// A browser has about six connections to a host; the others are for progress and results.
const UPLOADS = 2;
// Of many photos the first results appear while the others are sent.
const TASK_BYTES = 32 * 1_048_576;
const FORM_BYTES_PER_FILE = 1024;

export class Sender {
  #uploads = new Limit(UPLOADS);
  #stop = new AbortController();
  #keyMissing = false;

  /** onTask: gets the task's id and its photos, as soon as the service has accepted them. */
  constructor(album, onTask) {
    this.album = album;
    this.onTask = onTask;
  }

  /** Check photos, and send those that the service should accept. */
  async send(photos) {
    this.#keyMissing = false;
    const { signal } = this.#stop;
    const good = [];
    for (const photo of photos) {
      const code = await problemOf(photo.file);
      if (code === null) good.push(photo);
      else this.album.update([photo], () => photo.fail(code));
    }
    await Promise.all(batches(good).map((batch) => this.#queue(batch, signal)));
  }

  /** Forget all that is not sent yet. */
  stop() {
    this.#stop.abort();
    this.#stop = new AbortController();
  }

  #queue(photos, signal) {
    return this.#uploads.run(() => this.#sendBatch(photos, signal));
  }

  async #sendBatch(photos, signal) {
    if (signal.aborted) return;
    if (this.#keyMissing) {
      this.#fail(photos, "unauthorized");
      return;
    }
    try {
      const taskId = await this.#upload(photos, signal);
      this.album.update(photos, (photo) => Object.assign(photo, { state: "queued", retryIn: null }));
      this.onTask(taskId, photos);
    } catch (error) {
      if (signal.aborted) return;
      if ((error.status === 413 || error.status === 415) && photos.length > 1) {
        const half = Math.ceil(photos.length / 2);
        await this.#sendBatch(photos.slice(0, half), signal);
        await this.#sendBatch(photos.slice(half), signal);
        return;
      }
      this.#keyMissing = error.status === 401;
      this.#fail(photos, error.kind ?? "internal", error.isTemporary || error.status === 401);
    }
  }

  #upload(photos, signal) {
    const repeatKey = newKey();
    const files = photos.map((photo) => photo.file);
    const begin = () => {
      this.album.update(photos, (photo) =>
        Object.assign(photo, { state: "sending", sent: 0, retryIn: null }),
      );
      const progress = (bytes) => this.#showProgress(photos, bytes);
      return upload(files, { repeatKey, progress, signal });
    };
    const onPause = (seconds) =>
      this.album.update(photos, (photo) => Object.assign(photo, { retryIn: Math.ceil(seconds) }));
    return withRetries(begin, { signal, onPause });
  }

  #showProgress(photos, bytes) {
    let left = bytes;
    for (const photo of photos) {
      const sent = Math.min(Math.max(left / photo.file.size, 0), 1);
      left -= photo.file.size;
      if (sent !== photo.sent) this.album.update([photo], () => Object.assign(photo, { sent }));
    }
  }

  #fail(photos, code, mayRepeat = true) {
    this.album.update(photos, (photo) => photo.fail(code, { mayRepeat }));
  }
}

/** Split photos into tasks by the limits of the service. */
export function batches(photos) {
  const maxBytes = Math.min(TASK_BYTES, limits.requestBytes);
  const found = [];
  let bytes = 0;
  for (const photo of photos) {
    const size = photo.file.size + FORM_BYTES_PER_FILE;
    const last = found.at(-1);
    if (last && last.length < limits.files && bytes + size <= maxBytes) {
      last.push(photo);
      bytes += size;
    } else {
      found.push([photo]);
      bytes = size;
    }
  }
  return found;
}
