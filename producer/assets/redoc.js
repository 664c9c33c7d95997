"use strict";
// ReDoc shows a relative server address as it stands: made whole before it sees it.
async function show() {
  const url = new URL("openapi.json", document.baseURI);
  const spec = await (await fetch(url)).json();
  for (const server of spec.servers) {
    server.url = new URL(server.url, url).href.replace(/\/$/, "");
  }
  Redoc.init(spec, {}, document.getElementById("redoc"));
}
show();
