/** The photos of this page, and what became of them. Views listen to its events. */

/**
 * States of a photo: `waiting` in the browser, `sending`, `queued` and `working` at the service,
 * `done` with a result, `failed` with an error code.
 */
export class Photo {
  constructor(id, { file = null, folder = "", name = file?.name ?? "" }) {
    this.id = id;
    this.file = file;
    this.folder = folder;
    this.name = name;
    this.state = "waiting";
    this.sent = 0;
    this.retryIn = null;
    this.error = null;
    this.result = null;
    this.mayRepeat = false;
  }

  get isFinal() {
    return this.state === "done" || this.state === "failed";
  }

  /** Whether sending it again may help. */
  get isRepeatable() {
    return this.state === "failed" && this.file !== null && this.mayRepeat;
  }

  get needsReview() {
    return this.result?.needs_review === true;
  }

  fail(code, { mayRepeat = false } = {}) {
    Object.assign(this, { state: "failed", error: code, mayRepeat, retryIn: null });
  }

  finish(result) {
    Object.assign(this, { state: "done", result, error: null, retryIn: null });
  }
}

/**
 * Events: `added`, `changed` (at most one per frame), `selected`, `cleared`.
 */
export class Album extends EventTarget {
  #nextId = 1;
  #changed = new Set();
  #scheduled = false;
  photos = [];
  selected = null;

  add(sources) {
    const photos = sources.map((source) => {
      const photo = new Photo(this.#nextId, source);
      this.#nextId += 1;
      return photo;
    });
    this.photos.push(...photos);
    this.#emit("added", photos);
    if (this.selected === null && photos.length > 0) this.select(photos[0]);
    return photos;
  }

  /** Change photos; views get to know of it before the next frame. */
  update(photos, change) {
    for (const photo of photos) {
      change(photo);
      this.#changed.add(photo);
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    const flush = () => this.#flush();
    if (document.hidden) setTimeout(flush, 200); // a hidden tab has no frames
    else requestAnimationFrame(flush);
  }

  #flush() {
    this.#scheduled = false;
    if (this.#changed.size === 0) return;
    const photos = [...this.#changed];
    this.#changed.clear();
    this.#emit("changed", photos);
  }

  select(photo) {
    this.selected = photo;
    this.#emit("selected", photo ? [photo] : []);
  }

  /** Select the next photo or, with -1, the one before. */
  step(by) {
    const place = this.photos.indexOf(this.selected) + by;
    if (this.photos[place]) this.select(this.photos[place]);
  }

  clear() {
    this.photos = [];
    this.selected = null;
    this.#changed.clear();
    this.#emit("cleared", []);
  }

  counts() {
    const counts = { total: this.photos.length, done: 0, failed: 0, review: 0, repeatable: 0 };
    for (const photo of this.photos) {
      counts.done += photo.state === "done";
      counts.failed += photo.state === "failed";
      counts.review += photo.needsReview;
      counts.repeatable += photo.isRepeatable;
    }
    return { ...counts, open: counts.total - counts.done - counts.failed };
  }

  #emit(name, photos) {
    this.dispatchEvent(new CustomEvent(name, { detail: photos }));
  }
}
