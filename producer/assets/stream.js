"use strict";
async function show() {
  const url = new URL("../asyncapi.json", document.baseURI);
  const schema = await (await fetch(url)).text();
  const config = { show: { errors: false } };
  AsyncApiStandalone.render({ schema, config }, document.getElementById("asyncapi"));
}
show();
