/** Where the broker is and how to log in there, from a connection string or a namespace with a credential. */
import { ConfigurationError } from "../../core/errors.ts";
import { reveal, type SecretText } from "../../core/secret.ts";
import { plainPortDefault, tlsPortDefault } from "./limits.ts";
import { credentialTokens, sharedKeyTokens, sharedSignatureTokens } from "./tokens.ts";
import type { TokenCredential, TokenSource } from "./tokens.ts";

/** How to reach the namespace. */
export type NamespaceOptions =
  | { readonly connectionString: SecretText }
  | {
      /** Such as `my-namespace.servicebus.windows.net`. */
      readonly fullyQualifiedNamespace: string;
      readonly credential: TokenCredential;
    };

/** What to read. */
export type Entity = ({ readonly queue: string } | { readonly topic: string; readonly subscription: string }) & {
  /** Read what the entity has dead-lettered instead. */
  readonly subQueue?: "dead-letter";
};

export interface Namespace {
  readonly host: string;
  readonly port: number;
  readonly isPlain: boolean;
  readonly tokens: TokenSource;
  /** The one entity that the connection string is for. */
  readonly entityPath: string | undefined;
}

export function addressOf(entity: Entity): string {
  const address = "queue" in entity ? entity.queue : `${entity.topic}/Subscriptions/${entity.subscription}`;
  return entity.subQueue === undefined ? address : `${address}/$DeadLetterQueue`;
}

/** What a token for this address is issued for. */
export function audienceOf(namespace: Namespace, address: string): string {
  return `sb://${namespace.host}/${address}`;
}

export function parseNamespace(options: NamespaceOptions): Namespace {
  if ("connectionString" in options) return namespaceOf(options.connectionString);
  const { fullyQualifiedNamespace: host, credential } = options;
  return { host, port: tlsPortDefault, isPlain: false, tokens: credentialTokens(credential), entityPath: undefined };
}

/** A key that is replaced signs what is asked for from then on; the address stays. */
function namespaceOf(connectionString: SecretText): Namespace {
  let text = reveal(connectionString);
  let now = parseConnectionString(text);
  if (typeof connectionString === "string") return now;
  return {
    ...now,
    tokens: (audience, wallMs) => {
      const newest = reveal(connectionString);
      if (newest !== text) {
        now = parseConnectionString(newest);
        text = newest;
      }
      return now.tokens(audience, wallMs);
    },
  };
}

/** Messages name keys of the string and never quote it: it holds a secret. */
function parseConnectionString(text: string): Namespace {
  const parts = new Map<string, string>();
  for (const part of text.split(";")) {
    const at = part.indexOf("=");
    if (at > 0) parts.set(part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim());
  }
  const endpoint = URL.parse((parts.get("endpoint") ?? "").replace(/^sb:/i, "amqps:"));
  if (endpoint === null || endpoint.hostname === "") throw refused("Endpoint=sb://HOST", parts.has("endpoint") ? "an Endpoint that is no address" : "none");
  const isPlain = parts.get("usedevelopmentemulator")?.toLowerCase() === "true";
  return {
    host: endpoint.hostname.replace(/^\[|\]$/g, ""),
    port: endpoint.port === "" ? (isPlain ? plainPortDefault : tlsPortDefault) : Number(endpoint.port),
    isPlain,
    tokens: tokensOf(parts),
    entityPath: parts.get("entitypath"),
  };
}

function tokensOf(parts: ReadonlyMap<string, string>): TokenSource {
  const signature = parts.get("sharedaccesssignature");
  if (signature !== undefined) return sharedSignatureTokens(signature);
  const name = parts.get("sharedaccesskeyname");
  const key = parts.get("sharedaccesskey");
  if (name === undefined || name === "" || key === undefined || key === "")
    throw refused("SharedAccessKeyName and SharedAccessKey, or SharedAccessSignature", "neither");
  return sharedKeyTokens(name, key);
}

function refused(expected: string, found: string): ConfigurationError {
  return new ConfigurationError(
    `expected a Service Bus connection string with ${expected}, found ${found}; copy it again from the namespace's shared access policies`,
  );
}
