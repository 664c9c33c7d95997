// Serves route handlers of Next.js, without Next.js: each is a function from a Request to a Response.
import { createServer } from "node:http";
import { Readable } from "node:stream";

const handlers = {};
for (const name of ["upload", "callback"]) {
  const route = await import(`${process.argv[2]}/${name}/route.js`);
  handlers[`/plates/${name}`] = route.POST;
}

createServer(async (incoming, outgoing) => {
  const { headers, method, url } = incoming;
  const body = Readable.toWeb(incoming);
  const request = new Request(`http://receiver${url}`, { method, headers, body, duplex: "half" });
  try {
    const response = await handlers[url](request);
    outgoing.writeHead(response.status).end(Buffer.from(await response.arrayBuffer()));
  } catch (error) {
    console.error(error);
    outgoing.writeHead(500).end();
  }
}).listen(Number(process.env.PORT), "127.0.0.1");
