/** What the page says about a photo. */

import { limits } from "./config.js";
import { has, megabytes, percent, t } from "./i18n.js";

/** Return a short text about the state of a photo. */
export function statusText(photo) {
  if (photo.retryIn !== null) return t("state.retry", { n: photo.retryIn });
  switch (photo.state) {
    case "sending":
      return photo.sent < 1 ? t("state.sending", { share: percent(photo.sent) }) : t("state.sent");
    case "failed":
      return t("state.failed");
    case "done":
      return photo.needsReview ? t("state.review") : t("state.done");
    default:
      return t(`state.${photo.state}`);
  }
}

/** Explain an error code in plain words. */
export function errorText(code) {
  const key = has(`error.${code}`) ? `error.${code}` : "error.other";
  return t(key, { code, size: megabytes(limits.fileBytes) });
}

export function stateIcon(photo) {
  if (photo.state === "failed") return "error";
  if (photo.state === "done") return photo.needsReview ? "alert" : "check";
  return photo.state === "sending" ? "upload" : "clock";
}
