/** Outlines and scores of the covers that a result has, where the service reports them. */

import { el, svg } from "../dom.js";
import { percent } from "../i18n.js";

const COVER_SHARE = 0.35; // of the view

export class Outlines {
  #detections = [];
  #labels = [];
  #enlarged = -1;

  constructor(view) {
    this.view = view;
    this.group = svg("g", { class: "known" });
    this.layer = el("div", { class: "known-scores", "aria-hidden": "true" });
    view.shapes.append(this.group);
    view.marks.append(this.layer);
    view.addEventListener("moved", () => this.#place());
  }

  show(detections) {
    this.#detections = detections;
    this.#enlarged = -1;
    this.group.replaceChildren(
      ...detections.map(({ quad }) => svg("polygon", { points: quad.join(" ") })),
    );
    this.translate();
  }

  translate() {
    this.#labels = this.#detections.map(({ score }) => el("span", { class: "score" }, percent(score)));
    this.layer.replaceChildren(...this.#labels);
    this.#place();
  }

  set isOn(on) {
    this.layer.hidden = !on;
    this.group.classList.toggle("off", !on);
  }

  /** Enlarge one cover after the other, the least certain first. */
  zoomToNext() {
    if (this.#detections.length === 0) return;
    const byScore = this.#detections.toSorted((one, other) => one.score - other.score);
    this.#enlarged = (this.#enlarged + 1) % byScore.length;
    this.view.zoomTo(byScore[this.#enlarged].quad, COVER_SHARE);
  }

  #place() {
    this.#detections.forEach(({ quad }, number) => {
      const top = Math.min(...quad.map((corner) => corner[1]));
      const left = Math.min(...quad.map((corner) => corner[0]));
      const [x, y] = this.view.toScreen([left, top]);
      this.#labels[number].style.transform = `translate(${x}px, calc(${y}px - 100% - 4px))`;
    });
  }
}
