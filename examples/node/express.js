// Receives both webhooks with Express and multer. Images go to disk while they arrive.
import { mkdirSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import express from "express";
import multer from "multer";
import {
  WebhookError, folder, imagesField, sha256OfFile, signatureOf, verifyCallback, verifyUpload,
} from "./lib/plates.js";

const incoming = path.join(folder(), ".incoming"); // on the same disk, so that a rename suffices
mkdirSync(incoming, { recursive: true });

const app = express();
// multer reads names as Latin-1 unless it is told what they are.
const upload = multer({ dest: incoming, defParamCharset: "utf8" });

function signed(request, response, next) {
  request.signature = signatureOf((name) => request.get(name));
  next();
}

app.post("/plates/upload", signed, upload.array(imagesField()), async (request, response) => {
  const { files = [], signature } = request;
  try {
    const taskId = String(request.body.task_id);
    const images = [];
    for (const file of files) images.push([file.originalname, await sha256OfFile(file.path)]);
    verifyUpload(signature, taskId, images);
    await mkdir(path.join(folder(), taskId), { recursive: true });
    for (const file of files) await rename(file.path, path.join(folder(), taskId, file.originalname));
  } finally {
    for (const file of files) await rm(file.path, { force: true });
  }
  response.sendStatus(204);
});

app.post(
  "/plates/callback",
  signed,
  express.raw({ type: "application/json", limit: "16mb" }),
  async (request, response) => {
    await verifyCallback(request.signature, request.body);
    response.sendStatus(204);
  },
);

app.use((error, request, response, next) => {
  if (!(error instanceof WebhookError)) return next(error);
  response.status(401).send(error.message);
});

app.listen(Number(process.env.PORT), "127.0.0.1");
