// Where a running broker is, and what opens its control endpoint.
import { signToken } from "../security/tokens.ts";
import { BrokerUsageError } from "../usage-error.ts";

export interface TargetFlags {
  /** Undefined = where the connection string leads, or else the default. */
  readonly control?: string;
  readonly connectionString?: string;
}

export interface ControlTarget {
  readonly url: string;
  /** Undefined = nothing is shown. */
  readonly authorization: string | undefined;
}

export const controlDefault = "http://127.0.0.1:5672";
const portDefault = 5672;
/** How long a token is good that is made for one request. */
const tokenMs = 300_000;

/** @throws BrokerUsageError when the connection string lacks something; its key is in no message */
export function targetOf({ control, connectionString }: TargetFlags): ControlTarget {
  if (connectionString === undefined) return { url: urlOf(control ?? controlDefault), authorization: undefined };
  const fields = new Map(connectionString.split(";").map((part) => [part.slice(0, part.indexOf("=")).toLowerCase(), part.slice(part.indexOf("=") + 1)]));
  const [endpoint, name, key] = ["endpoint", "sharedaccesskeyname", "sharedaccesskey"].map((field) => fields.get(field));
  if (endpoint === undefined || name === undefined || key === undefined)
    throw new BrokerUsageError("--connection-string: expected Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…, found one of them missing");
  const place = endpoint.replace(/^sb:/i, "http:");
  const found = URL.canParse(place) ? new URL(place) : undefined;
  if (found === undefined) throw new BrokerUsageError(`--connection-string: expected an Endpoint such as sb://127.0.0.1:5672, found ${endpoint}`);
  const url = urlOf(control ?? `http://${found.hostname}:${found.port === "" ? portDefault : found.port}`);
  return { url, authorization: signToken(url, { name, key }, Date.now() + tokenMs) };
}

function urlOf(text: string): string {
  if (URL.canParse(text) && /^https?:/.test(text)) return new URL(text).origin;
  throw new BrokerUsageError(`--control: expected an address such as ${controlDefault}, found ${text}`);
}
