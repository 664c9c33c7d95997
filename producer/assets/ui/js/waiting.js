/** Pauses, repeated attempts, and how much is done at the same time. */

const MAX_ATTEMPTS = 9;
const MAX_PAUSE_SECONDS = 60;

/** Wait; an abort of the signal ends the wait with its reason. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/**
 * Run an action again while it fails for a reason that may pass (`error.isTemporary`).
 *
 * Each pause is longer than the one before, with jitter, and at least what the service asked for.
 * onPause: gets the seconds until the next attempt.
 */
export async function withRetries(action, { signal, onPause, attempts = MAX_ATTEMPTS } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      if (!error.isTemporary || attempt === attempts) throw error;
      const grown = Math.min(2 ** (attempt - 1), MAX_PAUSE_SECONDS);
      const seconds = Math.max(grown, error.retryAfter ?? 0) * (1 + Math.random() / 4);
      onPause?.(seconds);
      await pause(seconds * 1000, signal);
    }
  }
}

/** At most `size` actions run at the same time; the others wait in their order. */
export class Limit {
  #free;
  #waiting = [];

  constructor(size) {
    this.#free = size;
  }

  async run(action) {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise((resolve) => this.#waiting.push(resolve));
    try {
      return await action();
    } finally {
      this.leave();
    }
  }

  /** Take a place if one is free; the caller gives it back with `leave`. */
  tryEnter() {
    if (this.#free === 0) return false;
    this.#free -= 1;
    return true;
  }

  leave() {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#free += 1;
  }
}
