import { type ServiceBusReceiver, ServiceBusClient, type ServiceBusClientOptions, type TokenCredential } from "@azure/service-bus";
import { ConfigurationError } from "../../core/errors.ts";
import { reveal, type SecretText } from "../../core/secret.ts";

/** How to reach the namespace. */
export type ServiceBusConnection = (
  | { readonly connectionString: SecretText }
  | {
      /** Such as `my-namespace.servicebus.windows.net`. */
      readonly fullyQualifiedNamespace: string;
      readonly credential: TokenCredential;
    }
) & {
  /** Over WebSockets on port 443 instead of TLS on port 5671; false by default. */
  readonly webSockets?: boolean | undefined;
};

/** What to read. */
export type ServiceBusEntity = ({ readonly queue: string } | { readonly topic: string; readonly subscription: string }) & {
  /** Read what the entity has dead-lettered instead. */
  readonly subQueue?: "dead-letter";
};

/** How long the client waits for an answer, and how often it tries again by itself. */
export interface Patience {
  readonly answerTimeoutMs: number;
  readonly retriesMax: number;
}

export function createClient(connection: ServiceBusConnection, patience: Patience): ServiceBusClient {
  const options: ServiceBusClientOptions = {
    // Node's own goes through the proxy that Node is configured with.
    ...(connection.webSockets === true ? { webSocketOptions: { webSocket: WebSocket } } : {}),
    retryOptions: { maxRetries: patience.retriesMax, retryDelayInMs: 100, timeoutInMs: patience.answerTimeoutMs },
  };
  try {
    if ("connectionString" in connection) return clientOf(connection.connectionString, options);
    return new ServiceBusClient(connection.fullyQualifiedNamespace, connection.credential, options);
  } catch (error) {
    // The SDK's message may quote the connection string, which holds a key; it is kept out of ours.
    throw new ConfigurationError(
      "expected a Service Bus connection string (Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…) or a namespace with a credential, found one that the client refuses; copy it again from the namespace's shared access policies",
      error instanceof TypeError ? { cause: error.name } : {},
    );
  }
}

/** The key of a connection string that lies elsewhere is looked up for each token, so that a new one is used; an emulator's, which has an address of its own, is not. */
function clientOf(connectionString: SecretText, options: ServiceBusClientOptions): ServiceBusClient {
  const text = reveal(connectionString);
  const part = (name: string): string | undefined => new RegExp(`(?:^|;)\\s*${name}=([^;]+)`, "i").exec(reveal(connectionString))?.[1]?.trim();
  const host = /^sb:\/\/([^/:]+)\/?$/i.exec(part("Endpoint") ?? "")?.[1];
  const isOrdinary = host !== undefined && part("SharedAccessKey") !== undefined && part("SharedAccessKeyName") !== undefined;
  if (typeof connectionString === "string" || !isOrdinary || part("UseDevelopmentEmulator") !== undefined) return new ServiceBusClient(text, options);
  const credential = {
    get name(): string {
      return part("SharedAccessKeyName") ?? "";
    },
    get key(): string {
      return part("SharedAccessKey") ?? "";
    },
  };
  return new ServiceBusClient(host, credential, options);
}

/** A receiver under peek-lock that leaves bodies, dates and locks alone. */
export function createReceiver(client: ServiceBusClient, entity: ServiceBusEntity): ServiceBusReceiver {
  const place = entity.subQueue === undefined ? {} : ({ subQueueType: "deadLetter" } as const);
  const options = { receiveMode: "peekLock", skipParsingBodyAsJson: true, skipConvertingDate: true, maxAutoLockRenewalDurationInMs: 0, ...place } as const;
  // The SDK deletes fields of the options it is given.
  return "queue" in entity ? client.createReceiver(entity.queue, { ...options }) : client.createReceiver(entity.topic, entity.subscription, { ...options });
}

export function nameOf(entity: ServiceBusEntity): string {
  const name = "queue" in entity ? entity.queue : `${entity.topic}/Subscriptions/${entity.subscription}`;
  return entity.subQueue === undefined ? name : `${name}/$DeadLetterQueue`;
}
