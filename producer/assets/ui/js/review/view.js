/** The large picture, which can be enlarged and moved; a layer of shapes lies on it. */

import { el, setText, svg } from "../dom.js";
import { centre, clamp } from "./quads.js";

const MOST = 12; // pixels of the screen for one of the picture
const MARGIN_PARTS = 0.6; // of the view, for a quad that it shows

/** Events: `moved` after each change of what is seen. */
export class View extends EventTarget {
  #url = null;
  size = [0, 0];
  scale = 1;
  at = [0, 0];

  constructor() {
    super();
    this.image = el("img", { class: "view-image", alt: "", draggable: "false" });
    this.shapes = svg("svg", { class: "view-shapes", "aria-hidden": "true" });
    this.picture = el("div", { class: "view-picture" }, this.image, this.shapes);
    this.marks = el("div", { class: "view-marks" });
    this.veil = el("p", { class: "veil-text", hidden: true });
    this.element = el(
      "div",
      { class: "view", id: "view", tabindex: 0, role: "group" },
      this.picture,
      this.marks,
      this.veil,
    );
    new ResizeObserver(() => this.#resized()).observe(this.element);
  }

  get box() {
    return [this.element.clientWidth, this.element.clientHeight];
  }

  /** How many pixels of the screen one of the picture has when all of it is seen. */
  get least() {
    const [width, height] = this.box;
    return Math.min(width / this.size[0], height / this.size[1]) || 1;
  }

  get isWhole() {
    return this.scale <= this.least * 1.001;
  }

  /** Show a picture; keepPlace: at the place of the one before, of which it is a new version. */
  async show(blob, { keepPlace = false } = {}) {
    const url = URL.createObjectURL(blob);
    const image = new Image();
    image.src = url;
    try {
      await image.decode();
    } catch (error) {
      URL.revokeObjectURL(url);
      throw error;
    }
    this.#forget();
    this.#url = url;
    this.image.src = url;
    this.size = [image.naturalWidth, image.naturalHeight];
    this.shapes.setAttribute("viewBox", `0 0 ${this.size.join(" ")}`);
    [this.picture.style.width, this.picture.style.height] = this.size.map((side) => `${side}px`);
    this.picture.hidden = false;
    if (!keepPlace) this.fit();
    else this.#place();
  }

  clear() {
    this.#forget();
    this.image.removeAttribute("src");
    this.picture.hidden = true;
    this.size = [0, 0];
  }

  /** Lay a text over the picture; an empty one takes it away. */
  say(text) {
    this.veil.hidden = text === "";
    setText(this.veil, text);
  }

  fit() {
    this.scale = this.least;
    this.#place();
  }

  /** Enlarge around a point of the view; without one, around its middle. */
  zoomBy(ratio, point = this.box.map((side) => side / 2)) {
    const scale = clamp(this.scale * ratio, this.least, Math.max(MOST, this.least));
    const [x, y] = this.toPicture(point);
    this.scale = scale;
    this.at = [point[0] - x * scale, point[1] - y * scale];
    this.#place();
  }

  panBy(dx, dy) {
    this.at = [this.at[0] + dx, this.at[1] + dy];
    this.#place();
  }

  /** Bring a quad into the middle, at least so large that its corners can be taken apart. */
  zoomTo(quad, share = MARGIN_PARTS) {
    const extents = [0, 1].map((axis) => {
      const values = quad.map((corner) => corner[axis]);
      return Math.max(...values) - Math.min(...values);
    });
    const fitting = Math.min(...this.box.map((side, axis) => (side * share) / extents[axis]));
    this.scale = clamp(fitting, this.least, Math.max(MOST, this.least));
    const middle = centre(quad);
    this.at = this.box.map((side, axis) => side / 2 - middle[axis] * this.scale);
    this.#place();
  }

  toPicture(point) {
    return point.map((value, axis) => (value - this.at[axis]) / this.scale);
  }

  toScreen(point) {
    return point.map((value, axis) => value * this.scale + this.at[axis]);
  }

  /** Return where an event of the mouse or of a finger is in the view. */
  pointOf(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #resized() {
    const wasWhole = this.wasWhole ?? true;
    if (wasWhole) this.fit();
    else this.zoomBy(1);
  }

  /** Keep the picture in the view: in its middle where it is smaller, else without an empty edge. */
  #place() {
    this.at = this.at.map((value, axis) => {
      const room = this.box[axis] - this.size[axis] * this.scale;
      return room >= 0 ? room / 2 : clamp(value, room, 0);
    });
    this.wasWhole = this.isWhole;
    const [x, y] = this.at;
    this.picture.style.transform = `translate(${x}px, ${y}px) scale(${this.scale})`;
    this.element.classList.toggle("enlarged", !this.isWhole);
    this.dispatchEvent(new Event("moved"));
  }

  #forget() {
    if (this.#url !== null) URL.revokeObjectURL(this.#url);
    this.#url = null;
  }
}
