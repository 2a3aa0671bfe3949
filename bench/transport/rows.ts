/** The rows of the bench: who receives, and in what way. */

/** How a transport of ours is used. */
export interface Way {
  /** Credit of all links together. */
  readonly credit: number;
  /** Reads of each message what routing it needs: event id and type, attempt, end of the lock, body. */
  readonly routes?: boolean;
  /** Completes each batch in random order. */
  readonly shuffles?: boolean;
  /** Keeps one message in a thousand until all others are completed; these others are what is measured. */
  readonly holds?: boolean;
  /** Links on each connection. Default: 1. */
  readonly links?: number;
  /** Default: 1. */
  readonly connections?: number;
}

export type Row = { readonly name: string; readonly what: string } & (
  | { readonly client: "sdk-batches" | "sdk-subscribe" | "rhea" }
  | { readonly client: "sdk-transport" | "amqp"; readonly way: Way }
);

const amqp = (name: string, what: string, way: Way): Row => ({ name, what, client: "amqp", way });

export const rows: readonly Row[] = [
  { name: "sdk-batches", what: "the SDK: receiveMessages(500), each completed, in order; every ratio is to this row", client: "sdk-batches" },
  { name: "sdk-subscribe", what: "the SDK: subscribe with 200 concurrent calls, each of which completes its message", client: "sdk-subscribe" },
  { name: "rhea", what: "rhea without the SDK, credit 500, each message accepted as it comes", client: "rhea" },
  { name: "sdk-transport", what: "Holdfast's transport on the SDK, credit 500, batches completed as they come", client: "sdk-transport", way: { credit: 500 } },
  amqp("amqp", "Holdfast's transport on its own AMQP, credit 500, batches completed as they come, nothing read", { credit: 500 }),
  amqp("amqp-routed", "the same, reading event id and type, attempt, lock end and body: the row to go by", { credit: 500, routes: true }),
  amqp("amqp-shuffled", "completing each batch in random order", { credit: 500, shuffles: true }),
  amqp("amqp-held", "holding one message in a thousand until the others are done", { credit: 500, holds: true }),
  amqp("amqp-1-link", "credit 2000 on one link, routed", { credit: 2_000, routes: true }),
  amqp("amqp-2-links", "credit 2000 over two links, routed", { credit: 2_000, routes: true, links: 2 }),
  amqp("amqp-4-links", "credit 2000 over four links, routed", { credit: 2_000, routes: true, links: 4 }),
  amqp("amqp-2-conns", "credit 2000 over two connections, routed", { credit: 2_000, routes: true, connections: 2 }),
];
