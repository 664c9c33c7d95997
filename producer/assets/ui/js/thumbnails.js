/** Small pictures of the photos that are in sight, made a few at a time. */

import { resultFile } from "./api.js";
import { Shrinker } from "./shrink.js";
import { Limit } from "./waiting.js";

const WIDTH = 160;
const AT_ONCE = 2;

export class Thumbnails {
  #limit = new Limit(AT_ONCE);
  #shrinker = new Shrinker();
  #photos = new Map(); // by canvas
  #visible = new Set();
  #observer = new IntersectionObserver((entries) => this.#onSeen(entries), {
    rootMargin: "200px",
  });

  watch(photo, canvas) {
    this.#photos.set(canvas, { photo, drawn: null });
    this.#observer.observe(canvas);
  }

  /** Draw again if there is a result now. */
  refresh(canvas) {
    if (this.#visible.has(canvas)) this.#draw(canvas);
  }

  clear() {
    this.#observer.disconnect();
    this.#photos.clear();
    this.#visible.clear();
  }

  #onSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) this.#visible.delete(target);
      else {
        this.#visible.add(target);
        this.#draw(target);
      }
    }
  }

  #draw(canvas) {
    const entry = this.#photos.get(canvas);
    const wanted = entry && (entry.photo.result ?? entry.photo.file);
    if (!wanted || entry.drawn === wanted) return;
    entry.drawn = wanted;
    this.#limit.run(async () => {
      if (!this.#visible.has(canvas) || entry.drawn !== wanted) {
        if (entry.drawn === wanted) entry.drawn = null; // when it is in sight again
        return;
      }
      try {
        const file = wanted instanceof Blob ? wanted : await resultFile(wanted);
        const bitmap = await this.#shrinker.shrink(file, WIDTH);
        if (bitmap) paint(canvas, bitmap);
      } catch {
        // The result is gone: the picture stays as it is.
      }
    });
  }
}

function paint(canvas, bitmap) {
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  canvas.classList.add("drawn");
}
