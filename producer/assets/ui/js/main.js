/** The page at `/`: puts its parts together. */

import { Album } from "./album.js";
import { Compare } from "./compare.js";
import { address, limits } from "./config.js";
import { confirmed, showNotice, clearNotices } from "./dialogs.js";
import { announce, byId, setText } from "./dom.js";
import { megabytes, t } from "./i18n.js";
import { watchIntake } from "./intake.js";
import { PhotoList } from "./list.js";
import { Recent } from "./recent.js";
import { Sender } from "./sender.js";
import { startPage } from "./shell.js";
import { Summary } from "./summary.js";
import { Watcher } from "./watcher.js";
import { errorText } from "./words.js";

const album = new Album();
const watcher = new Watcher(album);
let setId = null;

const problem = (code, values) =>
  showNotice(code === "missing" ? t("error.missing", values) : errorText(code), "bad");

const recent = new Recent({
  open: showTasks,
  isBusy: () => album.counts().open > 0,
  isShown: (id) => id === setId,
  confirm: (key, values) => confirmed(t(key, values), t("recent.delete")),
  deleted: (id) => id === setId && clear(),
  problem,
});

const sender = new Sender(album, (taskId, photos) => {
  recent.add(setId, taskId, photos);
  watcher.follow(taskId, photos);
});

const list = new PhotoList(byId("photos"), album, problem);
new Compare(byId("stage"), album, problem);
new Summary(byId("summary"), album, {
  retry,
  clear: async () => {
    if (album.counts().open === 0 || (await confirmed(t("stop.confirm"), t("stop")))) clear();
  },
  filter: (name) => {
    list.filter = name;
  },
  problem,
});

for (const name of ["added", "cleared"]) album.addEventListener(name, showWhetherEmpty);
watchIntake(addFiles);
byId("example").addEventListener("click", addExample);
addEventListener("beforeunload", (event) => {
  const isSending = (photo) => photo.state === "waiting" || photo.state === "sending";
  if (album.photos.some(isSending)) event.preventDefault();
});
startPage(translate);

function addFiles({ files, left }) {
  clearNotices();
  if (left > 0) showNotice(t("left", { n: left }));
  if (files.length === 0) return;
  setId ??= `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`;
  announce(t("added", { n: files.length }));
  sender.send(album.add(files));
}

async function addExample() {
  try {
    const response = await fetch(address("assets/ui/example.jpg"));
    if (!response.ok) throw new Error(String(response.status));
    const file = new File([await response.blob()], "example.jpg", { type: "image/jpeg" });
    addFiles({ files: [{ file, folder: "" }], left: 0 });
  } catch {
    problem("network");
  }
}

/** Send again what failed for a reason that may have passed. */
function retry() {
  const photos = album.photos.filter((photo) => photo.isRepeatable);
  album.update(photos, (photo) => Object.assign(photo, { state: "waiting", error: null }));
  sender.send(photos);
}

function clear() {
  sender.stop();
  watcher.stop();
  album.clear();
  clearNotices();
  setId = null;
  recent.show();
  byId("choose-files").focus();
}

/** Show tasks that were sent before. The browser has their results, not their originals. */
function showTasks(tasks, id) {
  clear();
  setId = id;
  recent.show();
  for (const { taskId, state } of tasks) {
    watcher.follow(taskId, album.add(Array.from({ length: state.progress.total }, () => ({}))));
  }
  byId("work").scrollIntoView({ block: "start" });
  byId("main").focus({ preventScroll: true });
}

function showWhetherEmpty() {
  const isEmpty = album.photos.length === 0;
  byId("work").hidden = isEmpty;
  document.body.classList.toggle("working", !isEmpty);
}

function translate() {
  const values = { n: limits.ttlHours, size: megabytes(limits.fileBytes) };
  setText(byId("limits"), t("limits", values));
  setText(byId("privacy"), t("privacy", values));
}
