// The client of one row, in a process of its own. Its parameters: the row's name, which is its queue's too, and the
// broker's connection string.
import { cpuMicros, serve } from "../support/serve.ts";
import { receiveWithRhea } from "./bare-rhea.ts";
import { receiveBatches, receiveSubscribed } from "./bare-sdk.ts";
import { receiveWithTransport } from "./ours.ts";
import { type Row, rows } from "./rows.ts";

/** What a turn of a client took. */
export interface Turn {
  readonly tookMs: number;
  readonly cpuMicros: number;
}

const [name = "", connectionString = ""] = process.argv.slice(2);

function receive(row: Row, messages: number): Promise<number> {
  const from = { connectionString, queue: name, messages };
  switch (row.client) {
    case "sdk-batches":
      return receiveBatches(from);
    case "sdk-subscribe":
      return receiveSubscribed(from);
    case "rhea":
      return receiveWithRhea(from);
    case "sdk-transport":
    case "amqp":
      return receiveWithTransport(row.client, from, row.way);
  }
}

const calls = {
  async turn(messages: number): Promise<Turn> {
    const row = rows.find((row) => row.name === name);
    if (row === undefined) throw new Error(`expected a row of the bench, got ${name}`);
    const cpuBefore = cpuMicros();
    const startMs = performance.now();
    const doneMs = await receive(row, messages);
    return { tookMs: doneMs - startMs, cpuMicros: cpuMicros() - cpuBefore };
  },
};
export type ClientCalls = typeof calls;

serve(calls);
