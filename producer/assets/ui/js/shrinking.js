/** Of thumbnails.js, in a thread of its own: makes pictures small, which keeps a thread busy. */

onmessage = async ({ data: { id, blob, width } }) => {
  try {
    const options = { resizeWidth: width, resizeQuality: "medium" };
    const bitmap = await createImageBitmap(blob, options);
    postMessage({ id, bitmap }, [bitmap]);
  } catch {
    postMessage({ id, bitmap: null });
  }
};
