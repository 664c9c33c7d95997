/** The large picture: before and after with a divider, outlines of the covers, and what to check. */

import { resultFile } from "./api.js";
import { el, icon, setText } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { Outlines } from "./outlines.js";
import { Pictures } from "./pictures.js";
import { savePhoto } from "./save.js";
import { withRetries } from "./waiting.js";
import { errorText, statusText } from "./words.js";

export class Compare {
  #photo = null;
  #loading = new AbortController();

  constructor(root, album, onProblem) {
    this.album = album;
    this.onProblem = onProblem;
    this.#build(root);
    album.addEventListener("selected", () => this.#open(album.selected));
    album.addEventListener("added", () => this.#showPlace());
    album.addEventListener("cleared", () => this.#open(null));
    album.addEventListener("changed", ({ detail }) => {
      if (detail.includes(this.#photo)) this.#show();
    });
    onLanguage(() => this.#translate());
  }

  #build(root) {
    const button = (name, onclick) =>
      el("button", { class: "round", type: "button", onclick }, icon(name));
    this.title = el("h2", { class: "stage-title", id: "stage-title" });
    this.place = el("span", { class: "stage-place" });
    this.previous = button("previous", () => this.album.step(-1));
    this.next = button("next", () => this.album.step(1));
    this.zoom = button("zoom", () => this.outlines.zoomToNext());
    this.pictures = new Pictures(() => this.#showVeil());
    this.outlines = new Outlines(this.pictures);
    this.save = el(
      "button",
      { class: "button main", type: "button", onclick: () => this.#save() },
      icon("download"),
      (this.saveText = el("span")),
    );
    this.note = el("p", { class: "notice", hidden: true });
    root.setAttribute("aria-labelledby", "stage-title");
    root.setAttribute("role", "region");
    root.append(
      el("div", { class: "stage-head" }, this.title, this.place, this.previous, this.next),
      this.pictures.element,
      el(
        "div",
        { class: "stage-foot" },
        el("div", { class: "stage-tools" }, this.zoom, this.outlines.toggle),
        this.save,
      ),
      this.note,
      this.outlines.list,
    );
  }

  /** Show a photo; all that the one before has loaded is let go. */
  #open(photo) {
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#photo = photo;
    this.loaded = null;
    this.pictures.clear();
    this.outlines.clear();
    this.pictures.before = photo?.file ?? null;
    this.#show();
  }

  #show() {
    const photo = this.#photo;
    if (photo === null) return;
    setText(this.title, photo.name || t("photo.unnamed"));
    this.#showPlace();
    this.#showNote();
    this.#showVeil();
    this.save.hidden = photo.state !== "done";
    this.zoom.hidden = photo.state !== "done";
    if (photo.state === "done" && this.loaded !== photo.result) this.#load(photo);
  }

  #showPlace() {
    const { photos } = this.album;
    const place = photos.indexOf(this.#photo);
    setText(this.place, photos.length > 1 ? t("place", { n: place + 1, total: photos.length }) : "");
    for (const [button, end] of [[this.previous, 0], [this.next, photos.length - 1]]) {
      button.hidden = photos.length < 2;
      button.disabled = place === end;
    }
  }

  async #load(photo) {
    this.loaded = photo.result;
    const { signal } = this.#loading;
    try {
      const load = () => resultFile(photo.result, signal);
      const file = await withRetries(load, { signal, attempts: 4 });
      if (signal.aborted) return;
      await this.pictures.setAfter(file);
      if (signal.aborted) return;
      this.outlines.show(photo.result.detections ?? []);
    } catch (error) {
      if (signal.aborted) return;
      this.pictures.veil = errorText(error.status === 404 ? "expired" : (error.kind ?? "unreadable"));
    }
  }

  #showVeil() {
    const photo = this.#photo;
    if (photo === null) return;
    const { state } = photo;
    this.pictures.isBusy = !photo.isFinal || (state === "done" && !this.pictures.hasAfter);
    if (state === "failed") this.pictures.veil = errorText(photo.error);
    else if (state === "done") this.pictures.veil = this.pictures.hasAfter ? "" : t("state.loading");
    else this.pictures.veil = statusText(photo);
  }

  #showNote() {
    const { needsReview, state, file } = this.#photo;
    const texts = [];
    if (needsReview) texts.push(t("review.note"));
    if (state === "done" && file === null) texts.push(t("before.missing"));
    this.note.hidden = texts.length === 0;
    this.note.classList.toggle("doubt", needsReview);
    setText(this.note, texts.join(" "));
  }

  async #save() {
    try {
      await savePhoto(this.#photo);
    } catch (error) {
      this.onProblem(error.status === 404 ? "expired" : error.kind);
    }
  }

  #translate() {
    this.previous.setAttribute("aria-label", t("previous"));
    this.next.setAttribute("aria-label", t("next"));
    this.zoom.setAttribute("aria-label", t("zoom"));
    setText(this.saveText, t("save"));
    this.pictures.translate();
    this.outlines.translate();
    this.#show();
  }
}
