/** The list of photos: a row for each, with its state. */

import { el, icon, setText } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { savePhoto } from "./save.js";
import { Thumbnails } from "./thumbnails.js";
import { pause } from "./waiting.js";
import { errorText, stateIcon, statusText } from "./words.js";

const ROWS_AT_ONCE = 20;

export class PhotoList {
  #rows = new Map(); // by photo
  #coming = []; // photos that have no row yet
  #thumbnails = new Thumbnails();
  #filter = "all";

  constructor(root, album, onProblem) {
    this.root = root;
    this.album = album;
    this.onProblem = onProblem;
    album.addEventListener("added", ({ detail }) => this.#add(detail));
    album.addEventListener("changed", ({ detail }) => detail.forEach((photo) => this.#show(photo)));
    album.addEventListener("selected", () => this.#showSelected());
    album.addEventListener("cleared", () => this.#clear());
    onLanguage(() => album.photos.forEach((photo) => this.#show(photo)));
  }

  /** Show all photos, or only those that `failed` or need `review`. */
  set filter(name) {
    this.#filter = name;
    for (const [photo, row] of this.#rows) row.item.hidden = !this.#isMeant(photo);
  }

  /** Add rows a few at a time: hundreds at once would hold up the page. */
  async #add(photos) {
    const isAdding = this.#coming.length > 0;
    this.#coming.push(...photos);
    if (isAdding) return;
    while (this.#coming.length > 0) {
      const some = this.#coming.splice(0, ROWS_AT_ONCE);
      this.root.append(...some.map((photo) => this.#newRow(photo)));
      if (some.includes(this.album.selected)) this.#showSelected();
      await pause(0);
    }
  }

  #newRow(photo) {
    const canvas = el("canvas", { class: "thumb", width: 4, height: 3, "aria-hidden": "true" });
    const name = el("span", { class: "photo-name" });
    const mark = el("span", { class: "photo-mark" });
    const status = el("span", { class: "photo-status" });
    const bar = el("span", { class: "photo-bar" });
    const open = el(
      "button",
      { class: "photo-open", type: "button", onclick: () => this.album.select(photo) },
      el("span", { class: "thumb-box" }, icon("photos"), canvas),
      el("span", { class: "photo-text" }, name, el("span", { class: "photo-line" }, mark, status)),
      bar,
    );
    const save = el(
      "button",
      { class: "round", type: "button", hidden: true, onclick: () => this.#save(photo) },
      icon("download"),
    );
    const item = el("li", { class: "photo" }, open, save);
    this.#rows.set(photo, { item, open, save, canvas, name, mark, status, bar, shown: "" });
    this.#thumbnails.watch(photo, canvas);
    this.#show(photo);
    return item;
  }

  #show(photo) {
    const row = this.#rows.get(photo);
    if (!row) return;
    const { item, save, name, mark, status, bar, canvas } = row;
    item.dataset.state = photo.needsReview ? "review" : photo.state;
    item.hidden = !this.#isMeant(photo);
    setText(name, photo.name || t("photo.unnamed"));
    const text = photo.state === "failed" ? errorText(photo.error) : statusText(photo);
    setText(status, text);
    const drawing = stateIcon(photo);
    if (row.shown !== drawing) {
      mark.replaceChildren(icon(drawing));
      row.shown = drawing;
    }
    bar.style.setProperty("--sent", photo.state === "sending" ? photo.sent : 0);
    save.hidden = photo.state !== "done";
    save.setAttribute("aria-label", t("save.one", { name: photo.name }));
    this.#thumbnails.refresh(canvas);
  }

  #isMeant(photo) {
    if (this.#filter === "failed") return photo.state === "failed";
    return this.#filter !== "review" || photo.needsReview;
  }

  #showSelected() {
    for (const [photo, { item, open }] of this.#rows) {
      const isSelected = photo === this.album.selected;
      if (isSelected) open.setAttribute("aria-current", "true");
      else open.removeAttribute("aria-current");
      if (isSelected) this.#scrollTo(item);
    }
  }

  /** Scroll the list itself, never the page: on a phone that would lose the picture. */
  #scrollTo(item) {
    const top = item.offsetTop - this.root.offsetTop;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top;
    else if (top + item.offsetHeight > scrollTop + clientHeight) {
      this.root.scrollTop = top + item.offsetHeight - clientHeight;
    }
  }

  async #save(photo) {
    try {
      await savePhoto(photo);
    } catch (error) {
      this.onProblem(error.status === 404 ? "expired" : error.kind);
    }
  }

  #clear() {
    this.#coming = [];
    this.#thumbnails.clear();
    this.#rows.clear();
    this.root.replaceChildren();
  }
}
