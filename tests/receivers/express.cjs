// Express with multer: prints what it reads of each upload as a line of JSON.
const { createHash } = require("node:crypto");
const express = require("express");
const multer = require("multer");

const app = express();
// multer reads names as Latin-1 unless it is told what they are.
const upload = multer({ storage: multer.memoryStorage(), defParamCharset: "utf8" });

app.post("/hook", upload.array(process.env.IMAGES_FIELD), (request, response) => {
  const images = request.files.map((file) => [
    file.originalname,
    createHash("sha256").update(file.buffer).digest("hex"),
  ]);
  const { headers, body } = request;
  console.log(JSON.stringify({ task_id: body.task_id, images, headers }));
  response.sendStatus(200);
});

// Without reading what is sent.
app.post("/refuse", (request, response) => response.sendStatus(401));

app.listen(Number(process.env.PORT), "127.0.0.1");
