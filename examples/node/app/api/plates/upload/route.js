// Next.js, app router: POST /api/plates/upload receives the images of a completed task.
import path from "node:path";
import {
  WebhookError, folder, imagesField, sha256, signatureOf, store, verifyUpload,
} from "../../../../lib/plates.js";

export const runtime = "nodejs"; // it writes files

export async function POST(request) {
  try {
    const signature = signatureOf((name) => request.headers.get(name));
    const form = await request.formData(); // holds the whole request in memory
    const taskId = String(form.get("task_id"));
    const files = [];
    for (const file of form.getAll(imagesField())) {
      if (typeof file === "string") throw new WebhookError("an image that is no file");
      files.push([file.name, Buffer.from(await file.arrayBuffer())]);
    }
    verifyUpload(signature, taskId, files.map(([name, bytes]) => [name, sha256(bytes)]));
    for (const [name, bytes] of files) await store(path.join(folder(), taskId), name, bytes);
  } catch (error) {
    if (!(error instanceof WebhookError)) throw error;
    return new Response(error.message, { status: 401 });
  }
  return new Response(null, { status: 204 });
}
