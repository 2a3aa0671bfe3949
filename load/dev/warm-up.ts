/**
 * Has the world around the worker do some of its work before the trial begins, so that what a trial shows in its first seconds is the worker's
 * start and not theirs: the broker and who sends pass messages through a queue of their own, and the stand-ins answer calls that they forget.
 * The worker sees nothing of it; what it rehearses itself is what every worker does.
 */
import { systemClock } from "#runtime/adapters/system/clock.ts";
import { composeTransports } from "#runtime/compose/broker.ts";
import type { Config } from "#runtime/core/config.ts";
import type { Delivery } from "#runtime/core/delivery.ts";
import type { Publisher } from "#runtime/ports/publisher.ts";
import { type Sendable, sendAll } from "../generator/send.ts";
import type { StandInControl } from "../stand-ins/client.ts";
import type { BrokerControl } from "./broker-account.ts";

/** The queue that it uses; nobody else reads it. */
export const warmUpQueue = "warm-up";

const messagesSent = 1_000;
const bodyBytes = 6_000;
const calls = 320;
const callsAtOnce = 16;
const looks = 20;
/** It is no part of the trial: when it takes longer, the trial begins without the rest of it. */
const warmUpMaxMs = 3_000;

export interface WarmUpParts {
  readonly config: Pick<Config, "serviceBus" | "transport">;
  readonly broker: Pick<BrokerControl, "account">;
  readonly publisher: Publisher;
  readonly standIns: StandInControl;
  readonly standInUrls: Readonly<Record<"notifier" | "model" | "library", string>>;
}

export async function warmUp(parts: WarmUpParts): Promise<void> {
  await Promise.all([passMessages(parts), callAll(parts.standInUrls), lookAtBroker(parts.broker)]);
  await parts.standIns.forget();
}

function* madeUp(): Generator<Sendable> {
  const body = Buffer.from(JSON.stringify({ text: "warm-up ".repeat(bodyBytes >> 3) }));
  for (let number = 0; number < messagesSent; number += 1) {
    const messageId = `warm-up-${number}`;
    const headers = { eventId: messageId, eventType: "WarmUp", version: "1.0", traceId: messageId };
    yield { kind: "first", message: { messageId, body, contentType: "application/json", subject: "WarmUp", headers } };
  }
}

async function passMessages({ config, publisher }: WarmUpParts): Promise<void> {
  const make = await composeTransports(config);
  const transport = make({ queue: warmUpQueue });
  await transport.start();
  const all = Promise.withResolvers<void>();
  const timer = setTimeout(() => all.resolve(), warmUpMaxMs);
  let settled = 0;
  const complete = async (batch: readonly Delivery[]): Promise<void> => {
    await transport.settle(batch.map((delivery) => ({ verb: "complete", delivery }) as const));
    settled += batch.length;
    if (settled >= messagesSent) all.resolve();
  };
  const receiver = transport.openReceiver({
    deliveries(batch) {
      receiver.addCredit(batch.length);
      void complete(batch);
    },
    disturbed: () => all.resolve(),
  });
  receiver.addCredit(128);
  try {
    await Promise.all([sendAll(madeUp(), { publisher, entity: warmUpQueue, clock: systemClock }), all.promise]);
  } finally {
    clearTimeout(timer);
    await receiver.stop();
    await transport.stop();
  }
}

async function callAll({ notifier, model, library }: WarmUpParts["standInUrls"]): Promise<void> {
  const text = "Write a numbered list of what the readers of this should know, and say why. ".repeat(8);
  const message = { model: "stand-in", messages: [{ role: "user", content: text }] };
  const routes = [
    { method: "POST", url: `${notifier}/hooks/warm-up`, body: { title: "warm-up", text } },
    { method: "POST", url: `${model}/v1/chat/completions`, body: message },
    { method: "POST", url: `${model}/v1/chat/completions`, body: { ...message, response_format: { type: "json_object" } } },
    { method: "PUT", url: `${library}/documents/warm-up`, body: { title: "warm-up", text } },
  ] as const;
  const headers = { "content-type": "application/json", "holdfast-run": "warm-up", "holdfast-step": "warm-up", "holdfast-epoch": "1" };
  for (let done = 0; done < calls; done += callsAtOnce) {
    const answers = Array.from({ length: callsAtOnce }, async (_, place) => {
      const { url, method, body } = routes[(done + place) % routes.length]!;
      const answer = await fetch(url, { method, headers: { ...headers, "idempotency-key": `warm-up-${done + place}` }, body: JSON.stringify(body) });
      await answer.text();
    });
    await Promise.all(answers);
  }
}

async function lookAtBroker(broker: WarmUpParts["broker"]): Promise<void> {
  for (let look = 0; look < looks; look += 1) await broker.account();
}
