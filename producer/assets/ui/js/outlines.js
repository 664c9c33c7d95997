/** Outlines and scores of the covers, where the service reports them (DETECTIONS). */

import { el, setText, svg } from "./dom.js";
import { percent, t } from "./i18n.js";

export class Outlines {
  #detections = [];
  #zoomed = -1;

  constructor(pictures) {
    this.pictures = pictures;
    this.box = el("input", { type: "checkbox", checked: true });
    this.boxText = el("span");
    this.toggle = el("label", { class: "check", hidden: true }, this.box, this.boxText);
    this.heading = el("h3", {});
    this.chips = el("ul", { class: "chips" });
    this.list = el("div", { class: "covers", hidden: true }, this.heading, this.chips);
    this.box.addEventListener("change", () => {
      pictures.overlay.hidden = !this.box.checked;
    });
  }

  clear() {
    this.show([]);
  }

  show(detections) {
    this.#detections = detections;
    this.#zoomed = -1;
    this.toggle.hidden = this.list.hidden = detections.length === 0;
    this.#draw();
    this.translate();
  }

  /** Enlarge one cover after the other, then show the whole picture again. */
  zoomToNext() {
    const places = this.#detections.map(({ quad }) => this.#centre(quad));
    if (places.length === 0) places.push([0.5, 0.5]);
    this.#zoomed = this.pictures.isZoomed ? this.#zoomed + 1 : 0;
    const place = places[this.#zoomed] ?? null;
    this.pictures.zoom(place);
    if (place === null) this.#zoomed = -1;
  }

  translate() {
    setText(this.boxText, t("outlines"));
    setText(this.heading, t("covers", { n: this.#detections.length }));
    this.chips.replaceChildren(
      ...this.#detections.map(({ quad, score }, number) =>
        el("li", {}, this.#chip(quad, score, number)),
      ),
    );
  }

  #chip(quad, score, number) {
    const onclick = () => {
      this.#zoomed = number;
      this.pictures.zoom(this.#centre(quad));
    };
    const label = t("cover.label", { n: number + 1, score: percent(score) });
    return el("button", { class: "chip", type: "button", onclick, "aria-label": label }, percent(score));
  }

  #centre(quad) {
    const [width, height] = this.pictures.size;
    const middle = (axis) => quad.reduce((sum, corner) => sum + corner[axis], 0) / quad.length;
    return [middle(0) / width, middle(1) / height].map((part) => Math.min(Math.max(part, 0), 1));
  }

  #draw() {
    const [width, height] = this.pictures.size;
    const { overlay } = this.pictures;
    overlay.replaceChildren();
    if (this.#detections.length === 0 || !width) return;
    const quads = this.#detections.map(({ quad }) => svg("polygon", { points: quad.join(" ") }));
    const viewBox = `0 0 ${width} ${height}`;
    overlay.append(svg("svg", { viewBox, preserveAspectRatio: "none" }, ...quads));
    for (const { quad, score } of this.#detections) {
      const label = el("span", { class: "score" }, percent(score));
      const top = Math.min(...quad.map(([, y]) => y));
      label.style.left = `${(100 * quad[0][0]) / width}%`;
      label.style.top = `${(100 * top) / height}%`;
      overlay.append(label);
    }
    overlay.hidden = !this.box.checked;
  }
}
