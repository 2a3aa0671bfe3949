/** Calls of admin servers, as commands make them. */
import { readFileSync } from "node:fs";
import { ConfigurationError, HoldfastError, messageOf } from "../core/errors.ts";
import { type LoadedConfig, loadConfig } from "./load-config.ts";

export interface AdminPlaceOptions {
  readonly config?: string;
  readonly at: readonly string[];
  readonly tokenFile?: string;
}

const answerWithinMs = 10_000;

/** Where the servers are that are meant: as they are named, or as the configuration of this machine's worker says; not both. */
export async function placesOf({ at, config: file }: AdminPlaceOptions): Promise<readonly string[]> {
  if (at.length > 0 && file !== undefined) throw new ConfigurationError("expected either --at, for the servers to ask, or -c (--config), found both");
  if (at.length > 0) return at.map(checkedPlace);
  return [adminAddressOf(await loadConfig(file))];
}

/** Where the admin server of this machine's worker listens. */
export function adminAddressOf({ config: { admin }, file }: LoadedConfig): string {
  if (admin === undefined) throw new ConfigurationError(`expected 'admin' in ${file}, or --at URL, found neither`);
  const { host, port } = admin;
  const isAny = host === "0.0.0.0" || host === "::";
  return `http://${isAny ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function checkedPlace(place: string): string {
  if (!URL.canParse(place) || !/^https?:$/.test(new URL(place).protocol))
    throw new ConfigurationError(`--at: expected an http or https address, found '${place}'`);
  return place;
}

/** Throws `ConfigurationError`. */
export function tokenOf({ tokenFile }: Pick<AdminPlaceOptions, "tokenFile">): string | undefined {
  if (tokenFile === undefined) return undefined;
  let token: string;
  try {
    token = readFileSync(tokenFile, "utf8").trim();
  } catch (error) {
    throw new ConfigurationError(`--token-file: expected a file that can be read, found ${messageOf(error, 300)}`, { cause: error });
  }
  if (token === "") throw new ConfigurationError(`--token-file: expected a token in ${tokenFile}, found nothing`);
  return token;
}

export interface AdminCall {
  readonly method?: "GET" | "POST";
  /** Below the server's address. */
  readonly path: string;
  readonly body?: object;
  readonly token: string | undefined;
}

/** What is answered, where that is not a refusal. Throws `HoldfastError`. */
export async function callAdmin(at: string, { method = "GET", path, body, token }: AdminCall): Promise<unknown> {
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  try {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const response = await fetch(new URL(path, at), { method, headers, ...sent, signal: AbortSignal.timeout(answerWithinMs) });
    if (!response.ok) throw new TypeError(`expected ${method === "GET" ? 200 : 202}, found ${response.status}: ${await refusalOf(response)}`);
    return await response.json();
  } catch (error) {
    throw new HoldfastError("HOLDFAST_UNREACHABLE", `expected the admin server on ${at} to answer, found ${messageOf(error, 300)}`, { cause: error });
  }
}

async function refusalOf(response: Response): Promise<string> {
  const text = (await response.text()).slice(0, 1_000);
  try {
    const { detail } = JSON.parse(text) as { readonly detail?: unknown };
    return typeof detail === "string" ? detail : text.slice(0, 200);
  } catch {
    return text.slice(0, 200);
  }
}
