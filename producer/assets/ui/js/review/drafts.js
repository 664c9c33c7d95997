/** Covers that are drawn and not yet sent: their outlines, and handles at their corners. */

import { el, svg } from "../dom.js";
import { t } from "../i18n.js";
import { inside, isConvex, moved, rectangle } from "./quads.js";

const STANDARD_PIXELS = [120, 30]; // of the screen, for a tap
const SMALL_PIXELS = 70; // narrower than this the handles are in each other's way
const MOST_COVERS = 50; // in one request, by the service's rule
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const LONG_STEP = 10;

/** Events: `changed`, and `placed` when a cover has been drawn. */
export class Drafts extends EventTarget {
  #handles = [];
  quads = [];
  isOn = false;

  constructor(view) {
    super();
    this.view = view;
    this.group = svg("g", { class: "drafts" });
    this.preview = svg("polygon", { class: "preview" });
    this.layer = el("div", { class: "handles" });
    view.shapes.append(this.group, this.preview);
    view.marks.append(this.layer);
    view.addEventListener("moved", () => this.#place());
  }

  /** Show the drafts of another picture. */
  open(quads) {
    this.quads = quads;
    this.cancel();
    this.#build();
  }

  /** While they are being sent they stay as they are. */
  set isLocked(on) {
    this.layer.inert = on;
    this.group.classList.toggle("locked", on);
  }

  get isLocked() {
    return this.layer.inert;
  }

  get isFull() {
    return this.quads.length >= MOST_COVERS;
  }

  undo() {
    this.#change(this.quads.slice(0, -1));
  }

  draw(from, to) {
    this.preview.setAttribute("points", this.#between(from, to).join(" "));
    this.drawn = this.#between(from, to);
  }

  end() {
    const quad = this.drawn;
    this.cancel();
    if (quad && isConvex(quad)) this.#add(quad);
  }

  cancel() {
    this.drawn = null;
    this.preview.removeAttribute("points");
  }

  /** Place a cover of a usual size around a point of the view. */
  tap(point = this.view.box.map((side) => side / 2)) {
    const half = STANDARD_PIXELS.map((side) => side / 2);
    const corner = (sign) => point.map((value, axis) => value + sign * half[axis]);
    const quad = this.#between(corner(-1), corner(1));
    if (isConvex(quad)) this.#add(quad);
  }

  /** Return what moves the draft or the corner that was taken; null if it was none. */
  grab(target) {
    const place = target.closest?.("[data-draft]")?.dataset;
    if (!place || this.isLocked) return null;
    const corner = place.corner === undefined ? null : Number(place.corner);
    if (corner !== null) target.focus({ preventScroll: true });
    return (by) => this.#move(Number(place.draft), corner, by);
  }

  translate() {
    this.#handles.forEach((corners, number) =>
      corners.forEach((handle, corner) =>
        handle.setAttribute("aria-label", t(`handle.${corner}`, { n: number + 1 })),
      ),
    );
  }

  #between(from, to) {
    const { view } = this;
    return inside(rectangle(view.toPicture(from), view.toPicture(to)), view.size);
  }

  #add(quad) {
    if (this.isFull) return;
    this.#change([...this.quads, quad]);
    if ((quad[1][0] - quad[0][0]) * this.view.scale < SMALL_PIXELS) this.view.zoomTo(quad, 0.3);
    this.#handles.at(-1)[0].focus({ preventScroll: true });
    this.dispatchEvent(new Event("placed"));
  }

  #change(quads) {
    this.quads = quads;
    this.#build();
    this.dispatchEvent(new Event("changed"));
  }

  #move(number, corner, by) {
    this.quads = this.quads.with(number, moved(this.quads[number], corner, by, this.view.size));
    this.#place();
    this.dispatchEvent(new Event("changed"));
  }

  #build() {
    this.group.replaceChildren(
      ...this.quads.map((_, number) => svg("polygon", { "data-draft": number })),
    );
    this.#handles = this.quads.map((_, number) =>
      [0, 1, 2, 3].map((corner) => this.#handle(number, corner)),
    );
    this.layer.replaceChildren(...this.#handles.flat());
    this.translate();
    this.#place();
  }

  #handle(number, corner) {
    const onkeydown = (event) => {
      const step = STEPS[event.key];
      if (step) {
        const length = event.shiftKey ? LONG_STEP : 1;
        // With Alt, all of the cover.
        this.#move(number, event.altKey ? null : corner, step.map((value) => value * length));
      } else if (event.key === "Delete" || event.key === "Backspace") {
        this.#change(this.quads.toSpliced(number, 1));
        this.view.element.focus({ preventScroll: true });
      } else return;
      event.preventDefault();
      event.stopPropagation();
    };
    const place = { "data-draft": number, "data-corner": corner };
    return el("button", { class: "handle", type: "button", ...place, onkeydown });
  }

  #place() {
    this.quads.forEach((quad, number) => {
      this.group.children[number]?.setAttribute("points", quad.join(" "));
      quad.forEach((point, corner) => {
        const [x, y] = this.view.toScreen(point);
        const handle = this.#handles[number]?.[corner];
        if (handle) handle.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
      });
    });
  }
}
