/** Follows tasks until they end, and writes into the photos what became of them. */

import { taskEvents, taskState } from "./api.js";
import { Limit, pause, withRetries } from "./waiting.js";

// The oldest task streams its progress; the others are asked for theirs now and then.
const STREAMS = 1;
const POLL_MILLISECONDS = 2500;

export class Watcher {
  #streams = new Limit(STREAMS);
  #stop = new AbortController();

  constructor(album) {
    this.album = album;
  }

  /** Follow a task whose photos stand in their order. */
  async follow(taskId, photos) {
    const { signal } = this.#stop;
    let isFinal = false;
    const apply = (state) => {
      isFinal = isFinal || applyState(this.album, state, photos);
    };
    const onPause = (seconds) =>
      this.#updateOpen(photos, (photo) => {
        photo.retryIn = Math.ceil(seconds);
      });
    try {
      while (!isFinal) {
        const options = { signal, onPause, attempts: Infinity };
        await withRetries(() => this.#look(taskId, apply, signal), options);
        if (!isFinal) await pause(POLL_MILLISECONDS, signal);
      }
    } catch (error) {
      if (signal.aborted) return;
      const code = error.status === 404 ? "expired" : (error.kind ?? "internal");
      this.#updateOpen(photos, (photo) => photo.fail(code));
    }
  }

  /** Follow nothing any more. */
  stop() {
    this.#stop.abort();
    this.#stop = new AbortController();
  }

  async #look(taskId, apply, signal) {
    if (!this.#streams.tryEnter()) {
      apply(await taskState(taskId, signal));
      return;
    }
    try {
      await taskEvents(taskId, apply, signal);
    } finally {
      this.#streams.leave();
    }
  }

  #updateOpen(photos, change) {
    const open = photos.filter((photo) => !photo.isFinal);
    this.album.update(open, change);
  }
}

/** Write the state of a task into its photos; return whether it is final. */
export function applyState(album, state, photos) {
  const isFinal = state.status === "completed" || state.status === "failed";
  const errors = new Map(state.errors.map((error) => [error.index, error]));
  const results = new Map(state.results.map((result) => [result.index, result]));
  const running = state.status === "processing" ? "working" : "queued";
  const changed = [];
  photos.forEach((photo, index) => {
    if (photo.isFinal && !isFinal) return;
    const next = { photo, error: errors.get(index), result: results.get(index) };
    if (isFinal && !next.error && !next.result) next.error = { code: "input_missing" };
    const isNew = next.error || next.result || photo.state !== running || photo.retryIn !== null;
    if (isNew) changed.push(next);
  });
  const of = new Map(changed.map((next) => [next.photo, next]));
  album.update([...of.keys()], (photo) => {
    const { error, result } = of.get(photo);
    photo.name ||= error?.filename ?? result?.filename ?? "";
    if (error) photo.fail(error.code);
    else if (result) photo.finish(result);
    else Object.assign(photo, { state: running, retryIn: null });
  });
  return isFinal;
}
