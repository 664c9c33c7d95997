// Node's own fetch API (undici), by which Next.js, Remix and others read forms: prints what it reads
// of each upload as a line of JSON.
import { createHash } from "node:crypto";
import { createServer } from "node:http";

async function read(request) {
  const chunks = await request.toArray();
  const { headers } = request;
  const form = await new Response(Buffer.concat(chunks), { headers }).formData();
  const images = [];
  for (const file of form.getAll(process.env.IMAGES_FIELD)) {
    const content = Buffer.from(await file.arrayBuffer());
    images.push([file.name, createHash("sha256").update(content).digest("hex")]);
  }
  return { task_id: form.get("task_id"), images, headers };
}

createServer(async (request, response) => {
  if (request.url === "/refuse") {
    response.writeHead(401).end(); // without reading what is sent
    return;
  }
  try {
    console.log(JSON.stringify(await read(request)));
    response.end();
  } catch (error) {
    console.error(error);
    response.writeHead(500).end();
  }
}).listen(Number(process.env.PORT), "127.0.0.1");
