// How the broker is reached.
import { z } from "zod";
import type { SecretText } from "../secret.ts";
import { secret, type SecretInput } from "./secrets.ts";

/** How the broker is reached: a connection string, or a host name and the workload's own identity. */
export type ServiceBusConfig = ({ readonly connectionString: SecretInput } | { readonly fullyQualifiedNamespace: string }) & WebSocketsConfig;

/** Checked. */
export type ServiceBusSettings = ({ readonly connectionString: SecretText } | { readonly fullyQualifiedNamespace: string }) & WebSocketsConfig;

interface WebSocketsConfig {
  /**
   * Only with the transport `sdk`: over WebSockets on port 443, and through the proxy that `HTTPS_PROXY` names when Node is
   * started with `NODE_USE_ENV_PROXY=1`. Default false: AMQP over TLS on port 5671.
   */
  readonly webSockets?: boolean | undefined;
}

/** Which client speaks to the broker. */
export type TransportKind = "amqp" | "sdk";
export const transportDefault: TransportKind = "amqp";

export const serviceBusSchema: z.ZodType<ServiceBusSettings, ServiceBusConfig> = z.union([
  z.strictObject({ connectionString: secret(z.string().min(1)), webSockets: z.boolean().optional() }),
  z.strictObject({
    fullyQualifiedNamespace: z.string().regex(/^[A-Za-z0-9.-]+$/, "expected a host name such as NAME.servicebus.windows.net"),
    webSockets: z.boolean().optional(),
  }),
]);
