/** Above the list: how far it is, and what can be done with all photos. */

import { announce, el, icon, setText } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { saveAll } from "./save.js";

const FILTERS = { all: "total", review: "review", failed: "failed" };

export class Summary {
  #isPacking = false;
  #wasOpen = false;

  /** actions: `retry()`, `clear()`, `filter(name)` and `problem(code)`. */
  constructor(root, album, actions) {
    this.album = album;
    this.actions = actions;
    this.text = el("p", { class: "summary-text", id: "summary-text" });
    this.bar = el("progress", { "aria-labelledby": "summary-text" });
    this.save = this.#button("button", () => this.#saveAll(), icon("download"));
    this.retry = this.#button("button", () => actions.retry());
    this.clear = this.#button("link", () => actions.clear());
    this.filters = Object.keys(FILTERS).map((name) => {
      const button = this.#button("filter", () => this.#choose(name));
      button.dataset.filter = name;
      return button;
    });
    this.filterGroup = el("div", { class: "filters", role: "group" }, ...this.filters);
    root.append(
      this.text,
      this.bar,
      el("div", { class: "summary-buttons" }, this.save, this.retry, this.clear),
      this.filterGroup,
    );
    for (const name of ["added", "changed", "cleared"]) {
      album.addEventListener(name, () => this.#show());
    }
    onLanguage(() => this.#show());
    this.#choose("all");
  }

  #button(kind, onclick, ...content) {
    const button = el("button", { class: kind, type: "button", onclick }, ...content, el("span"));
    button.text = button.lastChild;
    return button;
  }

  #show() {
    const counts = this.album.counts();
    const text = describe(counts);
    setText(this.text, text);
    this.bar.hidden = counts.open === 0;
    this.bar.max = Math.max(counts.total, 1);
    this.bar.value = counts.total - counts.open;
    this.save.hidden = counts.done === 0 || counts.total === 1;
    this.save.disabled = this.#isPacking;
    if (!this.#isPacking) setText(this.save.text, t("save.all", { n: counts.done }));
    this.retry.hidden = counts.repeatable === 0 || counts.open > 0;
    setText(this.retry.text, t("retry", { n: counts.repeatable }));
    setText(this.clear.text, counts.open > 0 ? t("stop") : t("clear"));
    this.#showFilters(counts);
    if (this.#wasOpen && counts.open === 0 && counts.total > 0) announce(text);
    this.#wasOpen = counts.open > 0;
  }

  #showFilters(counts) {
    this.filterGroup.hidden = counts.total < 2 || counts.review + counts.failed === 0;
    this.filterGroup.setAttribute("aria-label", t("filter"));
    for (const button of this.filters) {
      const n = counts[FILTERS[button.dataset.filter]];
      button.hidden = n === 0;
      setText(button.text, t(`filter.${button.dataset.filter}`, { n }));
    }
    if (counts[FILTERS[this.filter]] === 0 && this.filter !== "all") this.#choose("all");
  }

  #choose(name) {
    this.filter = name;
    for (const button of this.filters) {
      button.setAttribute("aria-pressed", String(button.dataset.filter === name));
    }
    this.actions.filter(name);
  }

  async #saveAll() {
    const done = this.album.photos.filter((photo) => photo.state === "done");
    this.#isPacking = true;
    this.#show();
    try {
      const missing = await saveAll(done, (n) =>
        setText(this.save.text, t("save.packing", { n, total: done.length })),
      );
      if (missing > 0) this.actions.problem("missing", { n: missing });
      else announce(t("save.ready"));
    } catch (error) {
      this.actions.problem(error.kind ?? "internal");
    } finally {
      this.#isPacking = false;
      this.#show();
    }
  }
}

function describe({ total, done, failed, review, open }) {
  const parts = [
    open > 0 ? t("summary.open", { n: total - open, total }) : t("summary.done", { n: done }),
  ];
  if (review > 0) parts.push(t("summary.review", { n: review }));
  if (failed > 0) parts.push(t("summary.failed", { n: failed }));
  return parts.join(" · ");
}
