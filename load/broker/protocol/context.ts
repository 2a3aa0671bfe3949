// What every part of the protocol layer is given.
import type { LockTokens } from "../codec/lock-token.ts";
import type { Access } from "./access.ts";
import type { Faults } from "./faults.ts";
import type { OpenLinks } from "./open-links.ts";

export interface ProtocolContext {
  readonly tokens: LockTokens;
  /** Makes an id for a message that came without one. */
  readonly newMessageId: () => string;
  readonly links: OpenLinks;
  readonly access: Access;
  readonly faults: Faults;
  readonly nowMs: () => number;
}
