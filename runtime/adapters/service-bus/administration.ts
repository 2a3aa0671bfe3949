/** Reads an entity's settings over the administration API, for checks at start and for the doctor. */
import { ServiceBusAdministrationClient } from "@azure/service-bus";
import { type ServiceBusConnection, type ServiceBusEntity, createClient } from "./client.ts";
import type { TransportError } from "../../core/errors.ts";
import { isRefusal, transportErrorOf } from "./errors.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";

export interface EntitySettings {
  readonly lockDurationMs: number;
  readonly deliveriesMax: number;
  readonly deadLettersOnExpiry: boolean;
  /** Infinity when messages never expire. */
  readonly timeToLiveMs: number;
  readonly requiresSession: boolean;
  /** `Active`, `Disabled`, `SendDisabled`, `ReceiveDisabled`, or what else the service may say. */
  readonly status: string;
  /** Where its messages move on to by themselves; undefined when they stay. */
  readonly forwardTo: string | undefined;
  /** The broker's wall clock when it answered, in whole seconds; undefined when it did not say. */
  readonly brokerTimeMs: number | undefined;
}

/** Longer than this means: never. */
const foreverMs = 365 * 100 * 86_400_000;
const durationPattern = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/** Milliseconds of an ISO 8601 duration of days and less; Infinity for one of about a century and more. */
function durationMs(text: string): number {
  const match = durationPattern.exec(text);
  if (match === null) throw new RangeError(`expected an ISO 8601 duration, found '${text}'`);
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0));
  const total = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000;
  return total >= foreverMs ? Number.POSITIVE_INFINITY : total;
}

type Policy = Parameters<ServiceBusAdministrationClient["pipeline"]["addPolicy"]>[0];

/** Notes the broker's date, and speaks plain HTTP to a local broker, which has no certificate. */
function watch(isLocal: boolean, noteDate: (date: string | undefined) => void): Policy {
  return {
    name: "holdfastWatch",
    async sendRequest(request, next) {
      if (isLocal) {
        request.url = request.url.replace(/^https:/, "http:");
        request.allowInsecureConnection = true;
      }
      const response = await next(request);
      noteDate(response.headers.get("date"));
      return response;
    },
  };
}

/** Rejects with `TransportError` when the administration API does not answer, or refuses. */
export async function readEntitySettings(connection: ServiceBusConnection, entity: ServiceBusEntity): Promise<EntitySettings> {
  let date: string | undefined;
  const isLocal = "connectionString" in connection && /UseDevelopmentEmulator=true/i.test(connection.connectionString);
  const options = { retryOptions: { maxRetries: 1 } };
  try {
    const client =
      "connectionString" in connection
        ? new ServiceBusAdministrationClient(connection.connectionString, options)
        : new ServiceBusAdministrationClient(connection.fullyQualifiedNamespace, connection.credential, options);
    // The client ignores the option for additional policies.
    client.pipeline.addPolicy(watch(isLocal, (found) => (date = found)));
    const found = "queue" in entity ? await client.getQueue(entity.queue) : await client.getSubscription(entity.topic, entity.subscription);
    return {
      lockDurationMs: durationMs(found.lockDuration),
      deliveriesMax: found.maxDeliveryCount,
      deadLettersOnExpiry: found.deadLetteringOnMessageExpiration,
      timeToLiveMs: durationMs(found.defaultMessageTimeToLive),
      requiresSession: found.requiresSession,
      status: found.status,
      forwardTo: found.forwardTo === undefined || found.forwardTo === "" ? undefined : found.forwardTo,
      brokerTimeMs: date === undefined ? undefined : Date.parse(date),
    };
  } catch (error) {
    throw transportErrorOf("the administration API to return the entity's settings", error);
  }
}

/** `refused`: the broker said no, and will again; `unanswered`: it did not say. */
export type SendingCheck = { readonly kind: "possible" } | { readonly kind: "refused" | "unanswered"; readonly error: TransportError };

/** Opens a sender and closes it. */
export async function checkCanSend(connection: ServiceBusConnection, entity: string): Promise<SendingCheck> {
  const client = createClient(connection, { retriesMax: 0, answerTimeoutMs: answerTimeoutDefaultMs });
  try {
    await client.createSender(entity).createMessageBatch();
    return { kind: "possible" };
  } catch (thrown) {
    const error = transportErrorOf(`'${entity}' to exist and to take messages`, thrown);
    return { kind: isRefusal(error) ? "refused" : "unanswered", error };
  } finally {
    await client.close();
  }
}
