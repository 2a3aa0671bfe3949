import type { Cluster, Command, Redis } from "ioredis";
import { startAnswerTimer } from "../support/answer-timer.ts";

type Stream = Parameters<Redis["sendCommand"]>[1];

/**
 * Has a client's commands count the time of an answer as `startAnswerTimer` does. A timer of ioredis's own runs on while this process stands still, and
 * then comes before what was answered meanwhile is read: Redis would be blamed for it. A connection is left after twice that time without a word, which
 * ioredis counts by itself.
 */
export function countAnswerTime<Client extends Redis | Cluster>(client: Client): Client {
  const send: (command: Command, stream?: Stream, node?: unknown) => unknown = client.sendCommand.bind(client);
  return Object.assign(client, {
    sendCommand(command: Command, stream?: Stream, node?: unknown): unknown {
      // A command comes here again when it is sent to another node of a cluster.
      if (!Object.hasOwn(command, "setTimeout")) command.setTimeout = timeOf(command);
      return send(command, stream, node);
    },
  });
}

/** ioredis calls it whenever it sends the command: what counts is the first time. */
function timeOf(command: Command): (timeoutMs: number) => void {
  let isStarted = false;
  return (timeoutMs) => {
    if (isStarted) return;
    isStarted = true;
    const stop = startAnswerTimer(timeoutMs, () => {
      if (!command.isSettled) command.reject(new Error("Command timed out"));
    });
    command.promise.then(stop, stop);
  };
}
