import { randomBytes } from "node:crypto";

/** Text of 256 random bits. */
export function makeSecret(): string {
  return randomBytes(32).toString("base64url");
}
