/** The results that need review, in the order of the service, read page by page. */

import { reviews } from "../api.js";
import { withRetries } from "../waiting.js";

const PAGE_ITEMS = 50;
const AHEAD_ITEMS = 5;

/** A result in the queue, and what was drawn on it. */
class Item {
  drafts = [];
  sent = null; // what is being sent: `{ key, text }`
  isBusy = false; // something of it is under way at the service
  isGone = false; // the service no longer has it

  constructor({ task_id: taskId, result, finished_at: finishedAt, reason, score }) {
    Object.assign(this, { taskId, result, finishedAt: Date.parse(finishedAt), reason, score });
  }

  get key() {
    return `${this.taskId}/${this.result.filename}`;
  }

  /** Whether leaving it would lose work. */
  get isOpen() {
    return this.isBusy || this.drafts.length > 0;
  }

  get target() {
    return { taskId: this.taskId, filename: this.result.filename };
  }
}

export class Queue {
  #cursor = null;
  #reading = null;
  #open = new Map(); // items of earlier filters that are not done with
  items = [];
  place = 0;
  total = 0;
  isEnd = false;

  get current() {
    return this.items[this.place] ?? null;
  }

  /** Begin again with a filter: parameters of the API. */
  async open(filter, { signal, onPause }) {
    for (const item of this.items) if (item.isOpen) this.#open.set(item.key, item);
    Object.assign(this, { items: [], place: 0, total: 0, isEnd: false, filter, signal, onPause });
    this.#cursor = this.#reading = null;
    await this.more();
  }

  /** Read on until there is one item more, or the end. */
  more() {
    if (this.#reading === null) {
      const reading = this.#read(this.signal).finally(() => {
        if (this.#reading === reading) this.#reading = null;
      });
      this.#reading = reading;
    }
    return this.#reading;
  }

  async #read(signal) {
    const before = this.items.length;
    while (!this.isEnd && this.items.length === before) {
      const query = { limit: PAGE_ITEMS, ...this.filter };
      if (this.#cursor !== null) query.cursor = this.#cursor;
      const load = () => reviews(query, signal);
      const page = await withRetries(load, { signal, onPause: this.onPause });
      if (signal.aborted) return;
      this.total = page.total;
      this.#cursor = page.next;
      this.isEnd = page.next === null;
      this.items.push(...page.items.map((values) => this.#item(new Item(values))));
    }
  }

  /** Return the item itself, or the one that it was before with what was drawn on it. */
  #item(item) {
    const before = this.#open.get(item.key);
    if (!before?.isOpen) return item;
    return before.isBusy ? before : Object.assign(before, { result: item.result });
  }

  /** Whether leaving the page would lose work. */
  get isOpen() {
    return [...this.items, ...this.#open.values()].some((item) => item.isOpen);
  }

  get needsMore() {
    return !this.isEnd && this.place + AHEAD_ITEMS >= this.items.length;
  }

  /** Go to another item; return whether there is one. */
  step(by) {
    if (!this.items[this.place + by]) return false;
    this.place += by;
    return true;
  }

  /** Take out what is done with; the next one is the current one then. */
  remove(item) {
    const place = this.items.indexOf(item);
    if (place < 0) return;
    this.items.splice(place, 1);
    this.total = Math.max(this.total - 1, 0);
    if (place < this.place || this.place === this.items.length) {
      this.place = Math.max(this.place - 1, 0);
    }
  }
}
