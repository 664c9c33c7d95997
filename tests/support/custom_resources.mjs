// Prints what the types of KEDA, the Prometheus operator and the Gateway API have against the
// resources in the named JSON file.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const MODULES = join(dirname(dirname(fileURLToPath(import.meta.url))), "node_modules");
const PACKAGES = {
  "keda.sh": "keda",
  "monitoring.coreos.com": "prometheus-operator",
  "gateway.networking.k8s.io": "gateway-api",
};
// Maps whose keys are free.
const FREE = new Set(["labels", "annotations", "matchLabels", "triggers.metadata"]);

function declared(...folder) {
  const path = join(MODULES, ...folder);
  const files = readdirSync(path).filter((name) => name.endsWith(".d.ts"));
  const texts = files.map((name) => readFileSync(join(path, name), "utf8"));
  return texts.flatMap((text) => [...text.matchAll(/^ +"(\w+)"\??:/gm)].map((found) => found[1]));
}

// A server drops fields that it does not know, without a word, so the validators accept them.
function unknownFields(value, names, parent = "") {
  if (Array.isArray(value)) {
    return value.flatMap((item) => unknownFields(item, names, parent));
  }
  if (value === null || typeof value !== "object") {
    return [];
  }
  return Object.entries(value).flatMap(([name, inner]) => {
    const here = names.has(name) ? [] : [`unknown field ${name}`];
    const isFree = FREE.has(name) || FREE.has(`${parent}.${name}`);
    return isFree ? here : [...here, ...unknownFields(inner, names, name)];
  });
}

async function faults(resource) {
  const [group, version] = resource.apiVersion.split("/");
  const { [resource.kind]: Model } = await import(
    `@kubernetes-models/${PACKAGES[group]}/${group}/${version}/${resource.kind}`
  );
  const names = new Set([
    ...declared("@kubernetes-models", PACKAGES[group], group, version),
    ...declared("@kubernetes-models", "apimachinery", "apis", "meta", "v1"),
    ...declared("kubernetes-models", "autoscaling", "v2"),
  ]);
  const found = unknownFields(resource, names);
  try {
    new Model(resource).validate();
  } catch (error) {
    found.push(error.message);
  }
  return found;
}

for (const resource of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  for (const fault of await faults(resource)) {
    console.log(`${resource.kind} ${resource.metadata.name}: ${fault}`);
  }
}
