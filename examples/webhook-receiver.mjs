// Receives the callbacks of the server and checks their signature. It needs only Node.js.
//
//     FRAMEPACK_WEBHOOK_SECRET=whsec_... node webhook-receiver.mjs 8080
//
// Start the server with the same secret, and give this address as `callback_url`. Every message is answered within the
// 20 seconds that the server waits; longer work belongs behind the answer. Messages that were answered with another
// status than 2xx come again for three days.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const SECRET = process.env.FRAMEPACK_WEBHOOK_SECRET ?? "";
const KEY = SECRET.startsWith("whsec_") ? Buffer.from(SECRET.slice(6), "base64") : Buffer.from(SECRET);
const MAX_AGE_SECONDS = 300;
const MAX_BODY_BYTES = 20_000_000;

const seen = new Set(); // a real application keeps these in its database

/** Whether a message comes from the server, and is not a recorded one. */
function isSigned(headers, body) {
  const id = headers["webhook-id"] ?? "";
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > MAX_AGE_SECONDS) {
    return false;
  }
  const expected = createHmac("sha256", KEY).update(`${id}.${timestamp}.`).update(body).digest();
  const signatures = (headers["webhook-signature"] ?? "").split(" "); // several while a secret is being changed
  return signatures.some((each) => {
    const given = Buffer.from(each.replace(/^v1,/, ""), "base64");
    return each.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

/** What the application does with the end of a job. */
function handle(message) {
  const end = message.success ? `: ${message.output_url}` : ` failed: ${message.error}`;
  console.log(`${message.operation} ${message.job_id}${end}`);
}

/** The body of a request; null if it is too large. */
async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size <= MAX_BODY_BYTES) {
      parts.push(part);
    }
  }
  return size <= MAX_BODY_BYTES ? Buffer.concat(parts) : null;
}

/** Accept a message that is signed, once; returns the status of the answer. */
async function receive(request) {
  const body = await bodyOf(request);
  if (body === null) {
    return 413;
  }
  if (!isSigned(request.headers, body)) {
    return 401; // the signature is wrong or too old
  }
  if (!seen.has(request.headers["webhook-id"])) { // the same message may come twice
    handle(JSON.parse(body.toString()));
    seen.add(request.headers["webhook-id"]);
  }
  return 204;
}

const server = createServer((request, response) => {
  receive(request).then(
    (status) => response.writeHead(status).end(),
    (error) => {
      if (request.complete) { // otherwise the client has hung up, and nobody waits for an answer
        console.error(error);
        response.writeHead(500).end(); // the message comes again
      }
    },
  );
});

if (!SECRET) {
  throw new Error("FRAMEPACK_WEBHOOK_SECRET is not set");
}
server.listen(Number(process.argv[2]), "127.0.0.1");
