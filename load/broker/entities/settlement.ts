// What receivers do with the messages that they hold.
import type { PropertyChanges } from "./message.ts";

/** What a receiver decided about a message that it holds. */
export type Settlement =
  | { readonly kind: "complete" }
  | { readonly kind: "abandon"; readonly properties: PropertyChanges | undefined }
  | { readonly kind: "release" }
  | { readonly kind: "defer"; readonly properties: PropertyChanges | undefined }
  /** The reason and the description are among the properties. */
  | { readonly kind: "deadLetter"; readonly properties: PropertyChanges | undefined };

/** `notAllowed`: what lies in a dead-letter sub-queue cannot be dead-lettered again. */
export type SettleResult = "settled" | "lockLost" | "notAllowed";
