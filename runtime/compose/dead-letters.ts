/** Where the dead letters of a consumer lie, and what is needed to work on them. */
import { addressOf, type Entity } from "../adapters/amqp/namespace.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { Config } from "../core/config.ts";
import { consumerName, firstSource, retryEntityOf, type SourceSettings } from "../core/config/sources.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import { readRoute } from "../core/read-route.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { Transport } from "../ports/transport.ts";
import type { Letters } from "../recovery/letters.ts";
import type { ReplaySurroundings } from "../recovery/replay.ts";
import { composePublisher, composeTransports, connectionOf, entitiesOf, type MakeTransport } from "./broker.ts";
import { limitsOf } from "./executor.ts";
import { checkStoreIsShared, composeRunStore } from "./store.ts";

async function boxOf(config: Config, make: MakeTransport, entity: Entity, isOwn: boolean): Promise<DeadLetterBox> {
  const connection = await connectionOf(config.serviceBus);
  const transport: Transport = make(entity);
  const { openPeeking } = await import("../adapters/service-bus/peeking.ts");
  const peeking = openPeeking(connection, entity);
  return {
    name: addressOf(entity),
    isOwn,
    transport,
    start: () => transport.start(),
    stop: async () => {
      await Promise.all([transport.stop(), peeking.stop()]);
    },
    peek: (from, count) => peeking.peek(from, count),
  };
}

/** The dead-letter queues of what the first source is, or the queue that its dead letters are forwarded to. */
export async function composeLetters(config: Config, forwardedTo: string | undefined): Promise<Letters> {
  const entities = entitiesOf(firstSource(config));
  const make = await composeTransports(config);
  const boxes =
    forwardedTo === undefined
      ? entities.map((entity) => boxOf(config, make, { ...entity, subQueue: "dead-letter" }, true))
      : [boxOf(config, make, { queue: forwardedTo }, false)];
  const limits = limitsOf(config);
  return {
    boxes: await Promise.all(boxes),
    sources: entities.map((entity) => addressOf(entity)),
    readRoute: (delivery) => readRoute(delivery, limits, config.envelopes),
  };
}

/** The entities of the first source, for peeking: a queue, or a subscription and its retry queue. */
export async function composeQueues(config: Config): Promise<readonly DeadLetterBox[]> {
  const make = await composeTransports(config);
  return Promise.all(entitiesOf(firstSource(config)).map((entity) => boxOf(config, make, entity, true)));
}

/** What a replay needs beside the letters. */
export async function composeReplay(config: Config, directory: string): Promise<ReplaySurroundings> {
  checkStoreIsShared(config);
  return surroundingsOf(config, { store: composeRunStore(config, directory), publisher: await composePublisher(config) });
}

export function surroundingsOf<Parts extends Pick<ReplaySurroundings, "store" | "publisher">>(
  config: Config,
  parts: Parts,
  source: SourceSettings = firstSource(config),
): ReplaySurroundings & Parts {
  return {
    ...parts,
    clock: systemClock,
    retryEntity: retryEntityOf(source),
    consumer: consumerName(source),
    hashPayload: createPayloadHash(limitsOf(config)),
  };
}
