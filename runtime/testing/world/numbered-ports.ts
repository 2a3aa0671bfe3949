/** The ports of one process, each call numbered. */
import { StoreUnavailableError, TransportError } from "../../core/errors.ts";
import type { DeadLetterBox } from "../../ports/dead-letters.ts";
import type { Publisher } from "../../ports/publisher.ts";
import type { RunStore } from "../../ports/run-store.ts";
import type { Transport } from "../../ports/transport.ts";
import type { Caller, IoPoints } from "./io-points.ts";

const storeLost = (): never => {
  throw new StoreUnavailableError("expected the store to answer, it did not");
};
const brokerLost = (): never => {
  throw new TransportError("expected the broker to answer, it did not");
};

export function numberedStore(store: RunStore, points: IoPoints, caller: Caller): RunStore {
  const ask = <T>(name: string, act: () => Promise<T>): Promise<T> => points.ask(caller, `store ${name}`, act, storeLost);
  return {
    start: () => ask("start", () => store.start()),
    stop: () => store.stop(),
    secret: () => ask("secret", () => store.secret()),
    ping: () =>
      points.ask(
        caller,
        "store ping",
        () => store.ping(),
        () => false,
      ),
    claim: (requests, leaseMs) => ask(`claim ${requests.map(({ eventId }) => eventId).join()}`, () => store.claim(requests, leaseMs)),
    checkpoint: (writes) => ask(`checkpoint ${writes.map(({ step }) => `${step.name} ${step.state}`).join()}`, () => store.checkpoint(writes)),
    finish: (writes) => ask("finish", () => store.finish(writes)),
    clearOutbox: (eventIds) => ask("clear outbox", () => store.clearOutbox(eventIds)),
    fail: (writes) => ask(`fail as ${writes.map(({ state }) => state).join()}`, () => store.fail(writes)),
    extend: (writes, leaseMs) => ask("extend", () => store.extend(writes, leaseMs)),
    revive: (requests) => ask("revive", () => store.revive(requests)),
    close: (eventIds, by) => ask("close", () => store.close(eventIds, by)),
    read: (eventId) => ask("read", () => store.read(eventId)),
  };
}

export function numberedTransport(connection: Transport, points: IoPoints, caller: Caller): Transport {
  return {
    releaseIsFree: connection.releaseIsFree,
    start: () => points.ask(caller, "broker connect", () => connection.start(), brokerLost),
    stop: () => connection.stop(),
    requiresSessions: () => connection.requiresSessions(),
    acceptSession: (waitMs) => connection.acceptSession(waitMs),
    openReceiver: (listener) =>
      connection.openReceiver({
        deliveries: (batch) => points.arrive(caller, `receive ${batch.length}`, () => listener.deliveries(batch)),
        disturbed: (error) => listener.disturbed(error),
      }),
    settle: async (orders) => {
      if (orders.length === 0) return [];
      const verbs = orders.map(({ verb }) => verb).join();
      return points.ask(
        caller,
        verbs,
        () => connection.settle(orders),
        () => orders.map(() => "unknown" as const),
      );
    },
    renew: (deliveries) =>
      points.ask(
        caller,
        "renew",
        () => connection.renew(deliveries),
        () => deliveries.map(() => ({ kind: "unknown" as const })),
      ),
    reconnect: () =>
      points.ask(
        caller,
        "reconnect",
        () => connection.reconnect(),
        () => undefined,
      ),
    hasBacklog: () => points.ask(caller, "look for a backlog", () => connection.hasBacklog(), brokerLost),
  };
}

export function numberedPublisher(connection: Pick<Publisher, "send">, points: IoPoints, caller: Caller): Publisher {
  return {
    start: async () => undefined,
    stop: async () => undefined,
    send: (entity, messages) => points.ask(caller, `send ${messages.length} to ${entity}`, () => connection.send(entity, messages), brokerLost),
  };
}

export function numberedLetters(box: DeadLetterBox, points: IoPoints, caller: Caller): DeadLetterBox {
  return {
    name: box.name,
    isOwn: box.isOwn,
    transport: numberedTransport(box.transport, points, caller),
    start: () => box.start(),
    stop: () => box.stop(),
    peek: (from, count) => points.ask(caller, `peek from ${from}`, () => box.peek(from, count), brokerLost),
  };
}
