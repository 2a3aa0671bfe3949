// What receivers do with the messages that they hold.
import type { PropertyChanges } from "./message.ts";

/** What a receiver decided about a message that it holds. */
export type Settlement =
  | { readonly kind: "complete" }
  | { readonly kind: "abandon"; readonly properties: PropertyChanges | undefined }
  | { readonly kind: "release" }
  | { readonly kind: "defer"; readonly properties: PropertyChanges | undefined }
  | { readonly kind: "deadLetter"; readonly reason: string | undefined; readonly description: string | undefined; readonly properties: PropertyChanges | undefined };

/** `notAllowed`: what lies in a dead-letter sub-queue cannot be dead-lettered again. */
export type SettleResult = "settled" | "lockLost" | "notAllowed";
