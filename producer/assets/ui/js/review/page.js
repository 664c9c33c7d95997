/** The page `/review`: the queue, one result after the other, accepted or covered further. */

import { acceptResult } from "../api.js";
import { clearNotices, showNotice } from "../dialogs.js";
import { byId } from "../dom.js";
import { t } from "../i18n.js";
import { startPage } from "../shell.js";
import { withRetries } from "../waiting.js";
import { errorText } from "../words.js";
import { watchCommands } from "./commands.js";
import { sendDrafts } from "./correction.js";
import { Drafts } from "./drafts.js";
import { fetchPicture, warm } from "./files.js";
import { Gestures } from "./gestures.js";
import { Outlines } from "./outlines.js";
import {
  chosenFilter, enable, labelView, noticePause, say, showDrawing, showEmpty, showItem, showPause,
  showTotal, translateFilter,
} from "./panel.js";
import { Queue } from "./queue.js";
import { watchShortcuts } from "./shortcuts.js";
import { View } from "./view.js";

const ZOOM_STEP = 1.4;
const PAN_PIXELS = 80;
const FEW_ATTEMPTS = 5;

class ReviewPage {
  #opening = new AbortController();
  #loading = new AbortController();
  #shown = null; // the item whose picture is seen
  queue = new Queue();
  view = new View();
  outlines = new Outlines(this.view);
  drafts = new Drafts(this.view);

  constructor() {
    byId("view-place").append(this.view.element);
    new Gestures(this.view, this.drafts);
    this.drafts.addEventListener("changed", () => this.#draftsChanged());
    this.drafts.addEventListener("placed", () => this.#draw(false));
    for (const name of ["filter-age", "filter-score"]) {
      byId(name).addEventListener("change", () => this.open());
    }
    byId("outlines").addEventListener("change", (event) => {
      this.outlines.isOn = event.target.checked;
    });
    watchShortcuts(() => labelView(this.view));
    watchCommands((name) => this.commands[name]());
    addEventListener("beforeunload", (event) => {
      if (this.queue.isOpen) event.preventDefault();
    });
  }

  commands = {
    accept: () => this.#accept(),
    cover: () => this.#toggleDrawing(),
    undo: () => this.#canDraw() && this.drafts.undo(),
    send: () => this.#send(),
    next: () => this.#step(1),
    previous: () => this.#step(-1),
    in: () => this.view.zoomBy(ZOOM_STEP),
    out: () => this.view.zoomBy(1 / ZOOM_STEP),
    whole: () => this.view.fit(),
    doubt: () => this.outlines.zoomToNext(),
    outlines: () => byId("outlines").click(),
    reload: () => this.open(),
    escape: () => this.drafts.isOn && this.#draw(false),
    enter: () => this.drafts.isOn && this.drafts.tap(),
    left: () => this.#pan(PAN_PIXELS, 0),
    right: () => this.#pan(-PAN_PIXELS, 0),
    up: () => this.#pan(0, PAN_PIXELS),
    down: () => this.#pan(0, -PAN_PIXELS),
  };

  /** Read the queue from its beginning. */
  async open() {
    this.#opening.abort();
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    clearNotices();
    byId("empty").hidden = true;
    try {
      await this.queue.open(chosenFilter(), { signal, onPause: noticePause });
      clearNotices();
    } catch (error) {
      if (!signal.aborted) this.#problem(error);
    }
    if (!signal.aborted) this.#showCurrent();
  }

  translate() {
    labelView(this.view);
    this.view.image.alt = t("after.alt");
    translateFilter();
    this.outlines.translate();
    this.drafts.translate();
    say("");
    this.#refresh();
  }

  /** Show the item that the queue has reached. */
  #showCurrent() {
    const item = this.queue.current;
    byId("empty").hidden = item !== null || !this.queue.isEnd;
    byId("work").hidden = item === null;
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#shown = null;
    this.view.clear();
    this.outlines.show([]);
    this.drafts.open(item?.drafts ?? []);
    this.#draw(false);
    if (item === null) return;
    this.#load(item);
    if (this.queue.needsMore) this.#readOn();
  }

  async #readOn() {
    const { signal } = this.queue;
    try {
      await this.queue.more();
      if (signal.aborted) return;
      if (this.queue.current !== null && byId("work").hidden) this.#showCurrent();
      else {
        byId("empty").hidden = this.queue.current !== null;
        this.#refresh();
      }
    } catch (error) {
      if (!signal.aborted) this.#problem(error);
    }
  }

  /** Show an item's picture; keepPlace: it is a new version of what is seen. */
  async #load(item, { keepPlace = false } = {}) {
    const { signal } = this.#loading;
    if (!keepPlace) this.view.say(t("state.loading"));
    try {
      const blob = await fetchPicture(item, { signal, onPause: showPause });
      if (signal.aborted) return;
      await this.view.show(blob, { keepPlace });
      if (signal.aborted) return;
      this.view.say("");
      this.#shown = item;
      this.outlines.show(item.result.detections ?? []);
      this.drafts.open(item.drafts);
      this.#refresh();
      warm(this.queue.items[this.queue.place + 1], signal);
    } catch (error) {
      if (signal.aborted) return;
      this.view.say(this.#failed(item, error));
    }
  }

  async #accept() {
    const item = this.queue.current;
    if (!this.#canDraw()) return;
    if (item.drafts.length > 0) {
      say(t("review.unsent"), "bad");
      return;
    }
    await this.#during(item, async () => {
      const options = { attempts: FEW_ATTEMPTS, onPause: showPause };
      await withRetries(() => acceptResult(item.target), options);
      const wasCurrent = item === this.queue.current;
      this.queue.remove(item);
      if (wasCurrent) this.#showCurrent();
      say(t("review.accepted", { name: item.result.filename }), "good");
    });
  }

  async #send() {
    const item = this.queue.current;
    if (item === null || item.isBusy || item.isGone || item.drafts.length === 0) return;
    this.#draw(false);
    await this.#during(item, async () => {
      this.#sayOf(item, t("review.sending"));
      const result = await sendDrafts(item, {
        onPause: (seconds) => item === this.queue.current && showPause(seconds),
        onAccepted: () => this.#sayOf(item, t("review.pending")),
      });
      if (result === null) {
        this.#sayOf(item, t("review.patience"), "bad");
        return;
      }
      Object.assign(item, { result, drafts: [] });
      if (item === this.queue.current) await this.#load(item, { keepPlace: true });
      this.#sayOf(item, t("review.corrected"), "good");
    });
  }

  /** Do something with an item, which can be neither drawn on nor sent meanwhile. */
  async #during(item, action) {
    item.isBusy = true;
    this.#refresh();
    try {
      await action();
    } catch (error) {
      this.#failed(item, error);
    } finally {
      item.isBusy = false;
      this.#refresh();
    }
  }

  /** Say what went wrong with an item, and return it. */
  #failed(item, error) {
    item.isGone ||= error.status === 404;
    if (item.isGone) item.drafts = [];
    const text = errorText(item.isGone ? "gone" : (error.kind ?? "unreadable"));
    if (item === this.queue.current) {
      if (item.isGone) this.drafts.open([]);
      say(text, "bad");
    } else showNotice(`${item.result.filename}: ${text}`, "bad");
    this.#refresh();
    return text;
  }

  #sayOf(item, text, kind) {
    if (item === this.queue.current) say(text, kind);
  }

  #problem(error) {
    clearNotices();
    showNotice(errorText(error.kind ?? "network"), "bad");
  }

  #step(by) {
    const item = this.queue.current;
    if (item === null) return;
    if (item.isGone && !item.isBusy) {
      const wasLast = item === this.queue.items.at(-1);
      this.queue.remove(item);
      if (by < 0 && !wasLast) this.queue.step(by);
    } else if (!this.queue.step(by)) return;
    say("");
    this.#showCurrent();
  }

  /** Whether the current result can be drawn on, and accepted. */
  #canDraw() {
    const item = this.queue.current;
    return item !== null && item === this.#shown && !item.isBusy && !item.isGone;
  }

  #toggleDrawing() {
    if (!this.#canDraw()) return;
    this.#draw(!this.drafts.isOn);
    if (!this.drafts.isOn) return;
    this.view.element.scrollIntoView({ block: "nearest" });
    this.view.element.focus({ preventScroll: true });
  }

  #draw(on) {
    this.drafts.isOn = on;
    this.drafts.cancel();
    this.#refresh();
  }

  #draftsChanged() {
    const item = this.queue.current;
    if (item !== null) item.drafts = this.drafts.quads;
    say("");
    this.#refresh();
  }

  #pan(dx, dy) {
    return !this.view.isWhole && this.view.panBy(dx, dy);
  }

  /** Bring texts and buttons up to date. */
  #refresh() {
    const { queue, drafts } = this;
    const item = queue.current;
    showTotal(queue);
    showEmpty(Object.keys(queue.filter ?? {}).length > 0);
    if (item === null) return;
    showItem(item, queue);
    const canDraw = this.#canDraw();
    const count = drafts.quads.length;
    drafts.isLocked = !canDraw;
    showDrawing(drafts.isOn, count);
    enable({
      accept: canDraw,
      cover: canDraw && !drafts.isFull,
      undo: canDraw && count > 0,
      send: canDraw && count > 0,
      previous: queue.place > 0,
      next: queue.place + 1 < queue.items.length || item.isGone,
      doubt: this.#shown !== null && (item.result.detections ?? []).length > 0,
    });
  }
}

const page = new ReviewPage();
startPage(() => page.translate());
page.open();
