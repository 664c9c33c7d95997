/** The calls of the service's HTTP API. */

import { address } from "./config.js";
import { credentials, haveKey, renewKey } from "./key.js";

const TYPE_PREFIX = "urn:plate-detect:";
const CALL_MILLISECONDS = 30_000;
const RESULT_MILLISECONDS = 180_000;
const UPLOAD_IDLE_MILLISECONDS = 90_000;
const STREAM_IDLE_MILLISECONDS = 50_000; // the service sends something every 15 seconds
const TEMPORARY = new Set([0, 408, 409, 429, 500, 502, 503, 504]);

const LASTING = new Set(["too-many-corrections"]); // a 409 that waiting does not end

/** A request that failed; `kind` names the problem for the page's texts. */
export class ApiError extends Error {
  constructor(status, kind, retryAfter = null) {
    super(`${status} ${kind}`);
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter;
    this.isTemporary = TEMPORARY.has(status) && !LASTING.has(kind);
  }
}

/** Return a key for repeats of a request: they do nothing a second time. (randomUUID exists only with HTTPS.) */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Send files as a new task; return its id. progress: gets the bytes that are sent. */
export function upload(files, { repeatKey, progress, signal }) {
  return withKey((headers) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    return sent(form, { ...headers, "Idempotency-Key": repeatKey }, progress, signal);
  });
}

export async function taskState(taskId, signal) {
  const response = await call(`api/v1/task-status/${taskId}`, { signal });
  return response.json();
}

export async function deleteTask(taskId) {
  await call(`api/v1/tasks/${taskId}`, { method: "DELETE" });
}

/** Return a page of the queue of results that need review; query: its filter, and `cursor`. */
export async function reviews(query, signal) {
  const response = await call(`api/v1/reviews?${new URLSearchParams(query)}`, { signal });
  return response.json();
}

/** Clear the mark of a result that needs review. */
export async function acceptResult({ taskId, filename }) {
  await call(`${resultPath(taskId, filename)}/accept`, { method: "POST" });
}

/** Add covers to a result; return the state of the correction, the same for the same repeatKey. */
export async function addCovers({ taskId, filename }, covers, { repeatKey, signal }) {
  const response = await call(`${resultPath(taskId, filename)}/covers`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Idempotency-Key": repeatKey },
    body: JSON.stringify({ covers }),
    signal,
  });
  return response.json();
}

/** Return a result as a Blob. The path is relative, as the page's own address is the right one.
 *  The page may read from no other host: with RESULT_DELIVERY=redirect it asks for the file itself. */
export async function resultFile(result, signal) {
  const path = result.url.slice(result.url.indexOf("/tasks_storage/") + 1);
  const options = { signal, milliseconds: RESULT_MILLISECONDS };
  const response = await call(`${path}?delivery=proxy`, options);
  return response.blob();
}

/** Call back with each state of a task until the service ends the stream. */
export async function taskEvents(taskId, onState, signal) {
  const idle = new Watchdog(STREAM_IDLE_MILLISECONDS, signal);
  try {
    const path = `api/v1/task-events/${taskId}`;
    const response = await call(path, { signal: idle.signal, milliseconds: null });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      idle.reset();
      const events = (text + value).split(/\r?\n\r?\n/);
      text = events.pop();
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event);
        if (data) onState(JSON.parse(data[1]));
      }
    }
  } catch (error) {
    throw asApiError(error, signal);
  } finally {
    idle.stop();
  }
}

function resultPath(taskId, filename) {
  return `api/v1/tasks/${taskId}/results/${encodeURIComponent(filename)}`;
}

function call(path, { signal, milliseconds = CALL_MILLISECONDS, headers, ...options }) {
  return withKey(async (credentials) => {
    const signals = [signal, milliseconds && AbortSignal.timeout(milliseconds)].filter(Boolean);
    try {
      const response = await fetch(address(path), {
        ...options,
        headers: { ...headers, ...credentials },
        signal: AbortSignal.any(signals),
      });
      if (response.ok) return response;
      throw problem(response.status, await response.text(), response.headers.get("Retry-After"));
    } catch (error) {
      throw asApiError(error, signal);
    }
  });
}

/** Run a request; if the key is refused, ask for another and run it again. */
async function withKey(request) {
  if (!(await haveKey())) throw new ApiError(401, "unauthorized");
  for (;;) {
    const { key, headers } = credentials();
    try {
      return await request(headers);
    } catch (error) {
      if (error.status !== 401 || !(await renewKey(key))) throw error;
    }
  }
}

/** fetch cannot tell how much it has sent. */
function sent(form, headers, progress, signal) {
  const request = new XMLHttpRequest();
  const idle = new Watchdog(UPLOAD_IDLE_MILLISECONDS, signal);
  idle.signal.addEventListener("abort", () => request.abort());
  request.open("POST", address("api/v1/process-task/"));
  for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", (event) => {
    idle.reset();
    progress(event.loaded);
  });
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    request.addEventListener("abort", () => reject(asApiError(idle.signal.reason, signal)));
    request.addEventListener("error", () => reject(new ApiError(0, "network")));
    request.addEventListener("load", () => {
      const { status, responseText } = request;
      if (status === 202) resolve(JSON.parse(responseText).task_id);
      else reject(problem(status, responseText, request.getResponseHeader("Retry-After")));
    });
    request.send(form);
  }).finally(() => idle.stop());
}

function problem(status, text, retryAfter) {
  let type = "";
  try {
    type = JSON.parse(text).type ?? "";
  } catch {
    // A proxy has responded, not the service.
  }
  const kind = type.startsWith(TYPE_PREFIX) ? type.slice(TYPE_PREFIX.length) : `http-${status}`;
  const seconds = Number.parseInt(retryAfter, 10);
  return new ApiError(status, kind, Number.isNaN(seconds) ? null : seconds);
}

/** A broken or silent connection becomes an ApiError; the caller's own abort stays what it is. */
function asApiError(error, signal) {
  if (error instanceof ApiError || signal?.aborted) return error;
  return new ApiError(0, "network");
}

/** Aborts what was silent for too long. */
class Watchdog {
  #controller = new AbortController();
  #timer;

  constructor(milliseconds, signal) {
    this.milliseconds = milliseconds;
    const signals = [this.#controller.signal, signal].filter(Boolean);
    this.signal = AbortSignal.any(signals);
    this.reset();
  }

  reset() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#controller.abort(), this.milliseconds);
  }

  stop() {
    clearTimeout(this.#timer);
  }
}
