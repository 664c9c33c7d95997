/** Mouse, touch and wheel on the large picture: move, enlarge, draw, and take a drawn cover. */

const TAP_PIXELS = 6;
const WHEEL_STEP = 0.0016;

/** pencil: `isOn`, `draw(from, to)` and then `end()` or `cancel()`, `tap(point)`, `grab(element)`. */
export class Gestures {
  #points = new Map();
  #from = null; // where a rectangle begins
  #grabbed = null; // moves what was taken
  #far = false;

  constructor(view, pencil) {
    this.view = view;
    this.pencil = pencil;
    const { element } = view;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    element.addEventListener("pointerup", (event) => this.#up(event));
    element.addEventListener("pointercancel", (event) => this.#up(event, { isCancelled: true }));
    element.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #down(event) {
    const point = this.view.pointOf(event);
    this.#points.set(event.pointerId, point);
    this.view.element.setPointerCapture(event.pointerId);
    if (this.#points.size > 1) {
      if (this.#from) this.pencil.cancel();
      this.#from = this.#grabbed = null;
      return;
    }
    this.#far = false;
    this.#grabbed = event.button === 0 ? this.pencil.grab(event.target) : null;
    if (!this.#grabbed && this.pencil.isOn && event.button === 0) this.#from = point;
  }

  #move(event) {
    const before = this.#points.get(event.pointerId);
    if (!before) return;
    const point = this.view.pointOf(event);
    const by = [point[0] - before[0], point[1] - before[1]];
    if (this.#points.size > 1) this.#pinch(event.pointerId, point);
    else if (this.#grabbed) this.#grabbed(by.map((step) => step / this.view.scale));
    else if (this.#from) this.#draw(point);
    else this.view.panBy(...by);
    this.#points.set(event.pointerId, point);
  }

  #draw(point) {
    this.#far ||= distance(this.#from, point) > TAP_PIXELS;
    if (this.#far) this.pencil.draw(this.#from, point);
  }

  #up(event, { isCancelled = false } = {}) {
    if (!this.#points.delete(event.pointerId)) return;
    const from = this.#from;
    this.#from = this.#grabbed = null;
    if (!from) return;
    if (isCancelled) this.pencil.cancel();
    else if (this.#far) this.pencil.end();
    else this.pencil.tap(from);
  }

  #pinch(id, point) {
    const [, other] = [...this.#points].find(([key]) => key !== id);
    const before = this.#points.get(id);
    const ratio = distance(point, other) / Math.max(distance(before, other), 1);
    this.view.panBy((point[0] - before[0]) / 2, (point[1] - before[1]) / 2);
    this.view.zoomBy(ratio, [(point[0] + other[0]) / 2, (point[1] + other[1]) / 2]);
  }

  #wheel(event) {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 * event.deltaY : event.deltaY;
    // Pinching on a touchpad arrives as a wheel with Ctrl, in small steps.
    const ratio = Math.exp(-pixels * WHEEL_STEP * (event.ctrlKey ? 6 : 1));
    this.view.zoomBy(ratio, this.view.pointOf(event));
  }
}

function distance([x0, y0], [x1, y1]) {
  return Math.hypot(x1 - x0, y1 - y0);
}
