/** What the page knows of the service: the producer writes it into the root element. */

const { maxFiles, maxFileBytes, maxRequestBytes, ttlHours, needsKey } =
  document.documentElement.dataset;

export const limits = {
  files: Number(maxFiles),
  fileBytes: Number(maxFileBytes),
  requestBytes: Number(maxRequestBytes),
  ttlHours: Number(ttlHours),
};

export const keyIsNeeded = needsKey === "yes";

/** Return the whole address of a path of this service, whatever prefix a proxy puts before it. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** Begin names in the browser's storage with this: other services may have the same origin. */
export const storagePrefix = `plate-detect:${new URL(".", document.baseURI).pathname}:`;
