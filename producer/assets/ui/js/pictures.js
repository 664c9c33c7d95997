/** Two pictures on top of each other, with a divider that a slider moves. */

import { el, icon, setText } from "./dom.js";
import { percent, t } from "./i18n.js";

const ZOOM = 3;

export class Pictures {
  #urls = [];

  /** onSize: is called when a picture has been loaded, or cannot be shown. */
  constructor(onSize) {
    this.onSize = onSize;
    this.beforeImage = el("img", { class: "layer", alt: "" });
    this.afterImage = el("img", { class: "layer", alt: "" });
    this.overlay = el("div", { class: "layer overlay", "aria-hidden": "true" });
    this.slider = el("input", { type: "range", min: 0, max: 100, step: 1, class: "slider" });
    this.veilText = el("p", { class: "veil-text" });
    this.tags = [el("span", { class: "tag before" }), el("span", { class: "tag after" })];
    this.element = el(
      "div",
      { class: "frame" },
      this.afterImage,
      el("div", { class: "layer clip" }, this.beforeImage),
      this.overlay,
      this.slider,
      el("div", { class: "divider", "aria-hidden": "true" }, el("span", {}, icon("slide"))),
      ...this.tags,
      el("div", { class: "veil" }, el("span", { class: "spinner" }), this.veilText),
    );
    this.slider.addEventListener("input", () => this.#move());
    this.element.addEventListener("dblclick", (event) => this.#zoomAt(event));
    for (const image of [this.beforeImage, this.afterImage]) {
      image.addEventListener("load", () => this.#fit(image));
    }
    this.clear();
  }

  clear() {
    this.#urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
    this.beforeImage.removeAttribute("src");
    this.afterImage.removeAttribute("src");
    this.hasBefore = false;
    this.hasAfter = false;
    this.slider.value = 50;
    this.#move();
    this.zoom(null);
    this.#mark();
  }

  /** The browser's own file; null if it has none. It never comes from the service. */
  set before(file) {
    if (file === null) return;
    const url = this.#urlOf(file);
    this.beforeImage.src = url;
    this.beforeImage.decode().then(
      () => {
        this.hasBefore = this.beforeImage.src === url;
        this.#mark();
      },
      () => {}, // not a picture that this browser shows, or another one is shown by now
    );
  }

  async setAfter(file) {
    const url = this.#urlOf(file);
    this.afterImage.src = url;
    await this.afterImage.decode();
    this.hasAfter = this.afterImage.src === url;
    this.#mark();
    this.onSize();
  }

  set veil(text) {
    setText(this.veilText, text);
    this.element.classList.toggle("veiled", text !== "");
  }

  set isBusy(on) {
    this.element.classList.toggle("busy", on);
  }

  get size() {
    return [this.afterImage.naturalWidth, this.afterImage.naturalHeight];
  }

  /** Enlarge a place, given as parts of width and height; null shows the whole picture. */
  zoom(place) {
    const { style } = this.element;
    style.setProperty("--zoom", place ? ZOOM : 1);
    if (place) {
      style.setProperty("--zoom-x", `${place[0] * 100}%`);
      style.setProperty("--zoom-y", `${place[1] * 100}%`);
    }
    this.isZoomed = place !== null;
  }

  translate() {
    setText(this.tags[0], t("before"));
    setText(this.tags[1], t("after"));
    this.slider.setAttribute("aria-label", t("slider"));
    this.afterImage.alt = t("after.alt");
    this.#move();
  }

  #urlOf(file) {
    const url = URL.createObjectURL(file);
    this.#urls.push(url);
    return url;
  }

  #fit(image) {
    this.element.style.setProperty("--ratio", image.naturalWidth / image.naturalHeight);
    this.onSize();
  }

  #mark() {
    const { classList } = this.element;
    classList.toggle("has-before", this.hasBefore);
    classList.toggle("has-after", this.hasAfter);
    this.slider.disabled = !(this.hasBefore && this.hasAfter);
  }

  #move() {
    const share = Number(this.slider.value);
    this.element.style.setProperty("--at", `${share}%`);
    this.slider.setAttribute("aria-valuetext", t("slider.value", { share: percent(share / 100) }));
  }

  #zoomAt(event) {
    const box = this.element.getBoundingClientRect();
    const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    this.zoom(this.isZoomed ? null : place);
  }
}
