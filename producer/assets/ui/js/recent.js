/** Tasks that were sent from this browser, as long as the service keeps them. */

import { deleteTask, taskState } from "./api.js";
import { limits } from "./config.js";
import { byId, el } from "./dom.js";
import { dateTime, onLanguage, t } from "./i18n.js";
import { read, write } from "./storage.js";
import { errorText } from "./words.js";

const MAX_SETS = 20;
const HOUR = 3_600_000;

/** A set is what was added together: `{ id, at, first, total, tasks }`; of names only the first. */
export class Recent {
  #expired = new Set();

  /**
   * actions: `open(tasks, id)` gets `[{ taskId, state }, …]`; `isBusy()`, `isShown(id)`,
   * `confirm(key, values)`, `deleted(id)` and `problem(code)`.
   */
  constructor(actions) {
    this.actions = actions;
    this.sets = load();
    byId("recent-forget").addEventListener("click", () => this.#keep([]));
    // Another tab of this browser has written.
    addEventListener("storage", () => {
      this.sets = load();
      this.show();
    });
    onLanguage(() => this.show());
  }

  /** Note a task that the service has accepted. */
  add(setId, taskId, photos) {
    this.sets = load();
    let set = this.sets.find(({ id }) => id === setId);
    if (!set) {
      set = { id: setId, at: Date.now(), first: photos[0].name, total: 0, tasks: [] };
      this.sets.unshift(set);
    }
    set.total += photos.length;
    set.tasks.push(taskId);
    this.#keep(this.sets.slice(0, MAX_SETS));
  }

  show() {
    byId("recent").hidden = this.sets.length === 0;
    byId("recent-list").replaceChildren(...this.sets.map((set) => this.#row(set)));
  }

  #keep(sets) {
    this.sets = sets;
    write("localStorage", "recent", sets.length > 0 ? JSON.stringify(sets) : null);
    this.show();
  }

  #row(set) {
    const { id, at, first, total } = set;
    const isExpired = this.#expired.has(id) || Date.now() - at > 2 * limits.ttlHours * HOUR;
    const title = total === 1 ? first : t("recent.set", { first, n: total - 1 });
    const button = (key, onclick) => {
      const label = `${t(key)}: ${title}, ${dateTime(at)}`;
      return el("button", { class: "button", type: "button", "aria-label": label, onclick }, t(key));
    };
    return el(
      "li",
      { class: isExpired ? "gone" : null },
      el(
        "div",
        { class: "recent-text" },
        el("span", { class: "recent-name" }, title),
        el("span", { class: "small" }, isExpired ? errorText("expired") : dateTime(at)),
      ),
      isExpired || this.actions.isShown(id) ? null : button("recent.open", () => this.#open(set)),
      isExpired
        ? button("recent.remove", () => this.#forget(set))
        : button("recent.delete", () => this.#delete(set)),
    );
  }

  async #open(set) {
    if (this.actions.isBusy()) {
      this.actions.problem("busy");
      return;
    }
    const found = [];
    for (const taskId of set.tasks) {
      try {
        found.push({ taskId, state: await taskState(taskId) });
      } catch (error) {
        if (error.status !== 404) {
          this.actions.problem(error.kind);
          return;
        }
      }
    }
    if (found.length > 0) this.actions.open(found, set.id);
    else {
      this.#expired.add(set.id);
      this.show();
      this.actions.problem("expired");
    }
  }

  async #delete(set) {
    if (!(await this.actions.confirm("recent.confirm", { n: set.total }))) return;
    try {
      for (const taskId of set.tasks) await deleteUnlessGone(taskId);
      this.#forget(set);
      this.actions.deleted(set.id);
    } catch (error) {
      this.actions.problem(error.kind);
    }
  }

  #forget({ id }) {
    this.#keep(load().filter((set) => set.id !== id));
  }
}

async function deleteUnlessGone(taskId) {
  try {
    await deleteTask(taskId);
  } catch (error) {
    if (error.status !== 404) throw error;
  }
}

function load() {
  try {
    const sets = JSON.parse(read("localStorage", "recent") ?? "[]");
    return sets.filter((set) => Array.isArray(set.tasks) && set.tasks.length > 0);
  } catch {
    return [];
  }
}
