import type { ServiceBusReceivedMessage } from "@azure/service-bus";
import type { Clock } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import type { Credit } from "./credit.ts";
import type { Link } from "./link.ts";

/** Why receiving over a link ended. */
export type IntakeEnd =
  | { readonly kind: "lost"; readonly error: TransportError }
  /** A fresh link has to take over. */
  | { readonly kind: "worn-out" }
  /** So much comes that batches are cheaper. */
  | { readonly kind: "busy" }
  /** So little comes that batches would make it wait. */
  | { readonly kind: "quiet" }
  /** The link's window is much smaller than the credit there is. */
  | { readonly kind: "narrow" }
  | { readonly kind: "stopped" };

/** Receiving over one link, in one of two ways, until something ends it. */
export interface Intake {
  /** Resolves when it has ended and all credit it had on loan and did not spend was given back. */
  run(): Promise<IntakeEnd>;
  /** Credit was added. */
  creditAdded(): void;
  /** Ends it; the first reason counts. Messages that were on their way may still arrive before `run` resolves. */
  end(why: IntakeEnd): void;
}

export interface IntakeOptions {
  readonly link: Link;
  readonly credit: Credit;
  readonly creditMax: number;
  readonly clock: Clock;
  /** A message for which credit was spent. */
  arrived(message: ServiceBusReceivedMessage): void;
  /** A message for which there was no credit; it must be given back. */
  surplus(message: ServiceBusReceivedMessage): void;
  /** The link is attached. */
  opened(): void;
  disturbed(error: TransportError): void;
}
