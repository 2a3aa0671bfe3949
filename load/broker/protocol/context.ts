// What every part of the protocol layer is given.
import type { LockTokens } from "../codec/lock-token.ts";
import type { RuleDescription } from "../filters/rules.ts";
import type { Access } from "./access.ts";
import type { Faults } from "./faults.ts";
import type { OpenLinks } from "./open-links.ts";
import type { Tracking } from "./tracking.ts";

export interface ProtocolContext {
  readonly tokens: LockTokens;
  /** Makes an id for a message that came without one. */
  readonly newMessageId: () => string;
  readonly links: OpenLinks;
  readonly access: Access;
  readonly faults: Faults;
  readonly tracking: Tracking;
  /** Why nothing new can be taken now; undefined when it can. */
  readonly trouble: () => string | undefined;
  /** Which entities or rules there are has changed. */
  readonly onDefinitions: () => void;
  /** Why the subscription at a path cannot have one more rule. */
  readonly ruleTrouble: (path: string, rule: RuleDescription) => string | undefined;
  readonly nowMs: () => number;
}
