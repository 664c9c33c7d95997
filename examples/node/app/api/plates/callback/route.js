// Next.js, app router: POST /api/plates/callback receives the state of a task that has ended.
import { WebhookError, signatureOf, verifyCallback } from "../../../../lib/plates.js";

export const runtime = "nodejs";

export async function POST(request) {
  try {
    const signature = signatureOf((name) => request.headers.get(name));
    await verifyCallback(signature, Buffer.from(await request.arrayBuffer()));
  } catch (error) {
    if (!(error instanceof WebhookError)) throw error;
    return new Response(error.message, { status: 401 });
  }
  return new Response(null, { status: 204 });
}
