// Prints what the official parser of AsyncAPI has against the document in the named file.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
for (const { severity, path, message } of diagnostics) {
  if (severity < 2) {
    console.log(`${path.join(".")}: ${message}`);
  }
}
if (!document) {
  console.log("the document cannot be read");
}
