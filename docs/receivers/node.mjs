// Verifies a delivery of the gateway. Node 18 or later, nothing but its own modules.
//
//     WEBHOOK_SECRET=… node node.mjs 'x-openclaw-signature: sha256=…' 'webhook-id: …' … < body

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";

const TOLERANCE = 300; // seconds

const equal = (a, b) => a.length === b.length && timingSafeEqual(a, b);

/**
 * Throws unless `body` (a Buffer, exactly as it came) was sent by whoever has `secret`, just now.
 * `headers`: an object with lower-case names, as Node has them. Afterwards remember headers["webhook-id"]: a repeat has the same.
 */
export function verify(headers, body, secret, now) {
  // Over the body alone, with the secret as it is written.
  const code = "sha256=" + createHmac("sha256", secret).update(body).digest("hex");
  if (!equal(Buffer.from(code), Buffer.from(headers["x-openclaw-signature"] ?? ""))) {
    throw new Error("X-OpenClaw-Signature does not match");
  }

  // Standard Webhooks: over id, time and body, so that an old request cannot be sent again.
  const timestamp = headers["webhook-timestamp"] ?? "";
  if (!/^[0-9]+$/.test(timestamp) || Math.abs(now - Number(timestamp)) > TOLERANCE) {
    throw new Error("webhook-timestamp is missing, or too far away");
  }
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
  const mac = createHmac("sha256", key).update(`${headers["webhook-id"] ?? ""}.${timestamp}.`).update(body);
  const expected = Buffer.from("v1," + mac.digest("base64"));
  // While a secret is rotated there is one signature for each of two.
  const offered = (headers["webhook-signature"] ?? "").split(" ");
  if (!offered.some((one) => equal(expected, Buffer.from(one)))) {
    throw new Error("webhook-signature does not match");
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(import.meta.url))) {
  const headers = {};
  for (const argument of process.argv.slice(2)) {
    const at = argument.indexOf(":");
    headers[argument.slice(0, at).trim().toLowerCase()] = argument.slice(at + 1).trim();
  }
  try {
    verify(headers, readFileSync(0), process.env.WEBHOOK_SECRET, Date.now() / 1000);
    console.log("verified");
  } catch (error) {
    console.error(`refused: ${error.message}`);
    process.exitCode = 1;
  }
}
