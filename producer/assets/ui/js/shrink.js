/** Small pictures of large files. A worker makes them: the page never waits for one. */

const SCRIPT = new URL("./shrinking.js", import.meta.url).href;
// A browser that checks script addresses (trusted types) takes this one, and no other.
const policy = globalThis.trustedTypes?.createPolicy("plate-detect", {
  createScriptURL: () => SCRIPT,
});

export class Shrinker {
  #worker = new Worker(policy?.createScriptURL("") ?? SCRIPT, { type: "module" });
  #waiting = new Map(); // by number of the request
  #lastId = 0;
  #isBroken = false; // the worker could not be loaded

  constructor() {
    this.#worker.addEventListener("message", ({ data: { id, bitmap } }) => {
      this.#waiting.get(id)(bitmap);
      this.#waiting.delete(id);
    });
    this.#worker.addEventListener("error", () => {
      this.#isBroken = true;
      for (const resolve of this.#waiting.values()) resolve(null);
      this.#waiting.clear();
    });
  }

  /** Return a small picture, which the caller closes; null of what this browser cannot show. */
  shrink(blob, width) {
    if (this.#isBroken) return Promise.resolve(null);
    const id = (this.#lastId += 1);
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#worker.postMessage({ id, blob, width });
    });
  }
}
