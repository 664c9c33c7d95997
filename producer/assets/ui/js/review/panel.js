/** The texts and buttons around the large picture. */

import { clearNotices, showNotice } from "../dialogs.js";
import { byId, el, setText } from "../dom.js";
import { dateTime, percent, t } from "../i18n.js";
import { shortcutsAreOn } from "./shortcuts.js";

/** Show what belongs to an item; queue: tells its place. */
export function showItem(item, queue) {
  setText(byId("stage-title"), item.result.filename);
  const more = queue.isEnd ? "" : "+";
  const count = queue.items.length;
  setText(byId("place"), t("place", { n: queue.place + 1, total: more ? `${count}+` : count }));
  const score = item.score === null ? "" : percent(item.score);
  const reason = item.score === null || item.reason === null ? "unknown" : item.reason;
  setText(byId("reason"), t(`reason.${reason}`, { score }));
  const facts = [[t("fact.finished"), dateTime(item.finishedAt)]];
  const { detections, version } = item.result;
  if (detections) facts.push([t("fact.covers"), String(detections.length)]);
  if (version) facts.push([t("fact.version"), String(version)]);
  byId("facts").replaceChildren(
    ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

/** Name the large picture, and the keys that change what is seen of it. */
export function labelView({ element }) {
  element.setAttribute("aria-label", t(shortcutsAreOn() ? "view.label.keys" : "view.label"));
}

export function showTotal(queue) {
  setText(byId("total"), t("review.total", { n: queue.total }));
}

export function showEmpty(isFiltered) {
  setText(byId("empty-text"), t(isFiltered ? "empty.filter" : "empty.text"));
}

/** Say what is going on; kind: `bad` for what went wrong, `good` for what is done. */
export function say(text, kind = "") {
  const status = byId("status");
  status.className = `review-status ${kind}`;
  setText(status, text);
}

/** Show whether something is being drawn, and how many covers are. */
export function showDrawing(isOn, count) {
  setText(byId("send-text"), count > 0 ? t("review.send", { n: count }) : t("review.send.none"));
  const hint = isOn ? "hint.draw" : count > 0 ? "hint.corners" : "";
  byId("hint").hidden = hint === "";
  byId("reason").hidden = hint !== "";
  setText(byId("hint"), hint && t(hint));
  byId("view").classList.toggle("drawing", isOn);
  document.querySelector("[data-command=cover]").setAttribute("aria-pressed", String(isOn));
}

/** possible: which commands can be given now, by name. */
export function enable(possible) {
  for (const [name, isPossible] of Object.entries(possible)) {
    document.querySelector(`[data-command="${name}"]`).disabled = !isPossible;
  }
}

/** Return the filter as parameters of the API. */
export function chosenFilter() {
  const filter = {};
  const age = byId("filter-age").value;
  const [least, most] = byId("filter-score").value.split("-");
  if (age) filter.max_age = age;
  if (most) Object.assign(filter, { min_score: least, max_score: most });
  return filter;
}

export function translateFilter() {
  for (const option of byId("filter-score").options) {
    const [least, most] = option.value.split("-").map(Number);
    if (most) setText(option, `${percent(least)} – ${percent(most)}`);
  }
}

/** Say when the next attempt at something of a result is made. */
export function showPause(seconds) {
  say(t("state.retry", { n: Math.ceil(seconds) }));
}

/** Of the queue itself, when no result may be seen. */
export function noticePause(seconds) {
  clearNotices();
  showNotice(t("state.retry", { n: Math.ceil(seconds) }));
}
