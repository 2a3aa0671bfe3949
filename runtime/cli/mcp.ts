/** `holdfast mcp`: a door for agents to the admin server of a worker. */
import { once } from "node:events";
import { Writable } from "node:stream";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { systemClock } from "../adapters/system/clock.ts";
import { ownVersion } from "../adapters/system/version.ts";
import { openAgentDoor } from "../admin/mcp/http.ts";
import { agentServer, type Allowed, changes } from "../admin/mcp/server.ts";
import { type AdminAuthSettings, isLoopback } from "../core/config/admin.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { adminAddressOf, checkedPlace, tokenOf } from "./admin-call.ts";
import { loadConfig } from "./load-config.ts";
import { writeNote, writeResult } from "./output.ts";
import { takeOver } from "./stop-signals.ts";

export interface McpOptions {
  readonly config?: string;
  readonly at?: string;
  readonly tokenFile?: string;
  /** True for all of them. */
  readonly allowChanges?: true | readonly string[];
  /** `host:port`. */
  readonly http?: string;
  readonly publicUrl?: string;
}

interface Place {
  readonly url: string;
  readonly auth: AdminAuthSettings | undefined;
}

export async function mcp(options: McpOptions): Promise<void> {
  const allowed = allowedOf(options.allowChanges);
  const door = options.http === undefined ? undefined : addressOf(options.http);
  if (door !== undefined && options.tokenFile !== undefined)
    throw new ConfigurationError("--token-file: expected it without --http, where each agent shows a token of its own; leave one of them out");
  if (door === undefined && options.publicUrl !== undefined)
    throw new ConfigurationError("--public-url: expected it with --http, as the address that agents connect to; leave it out");
  const publicUrl = options.publicUrl === undefined ? undefined : publicUrlOf(options.publicUrl);
  const { url, auth } = await placeOf(options);
  if (door === undefined) await overStandardStreams(url, allowed, () => tokenOf(options));
  else await overHttp({ url, auth }, { ...door, publicUrl }, allowed);
}

async function overStandardStreams(url: string, allowed: Allowed, token: () => string | undefined): Promise<void> {
  const server = agentServer({
    url,
    allowed,
    version: ownVersion(),
    token,
  });
  const output = new Writable({
    decodeStrings: false,
    write: (text: string | Buffer, _encoding, done) => {
      writeResult(String(text));
      done();
    },
  });
  const closed = new Promise<void>((close) => Object.assign(server, { onclose: close }));
  takeOver({ stop: () => void server.close(), say: writeNote });
  process.stdin.once("end", () => void server.close());
  await server.connect(new StdioServerTransport(process.stdin, output));
  await closed;
  process.stdin.destroy();
}

/** All addresses of this machine: none that agents could be told. */
const anyAddress: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);

interface Door {
  readonly host: string;
  readonly port: number;
  readonly publicUrl: string | undefined;
}

async function overHttp({ url, auth }: Place, { host, port, publicUrl }: Door, allowed: Allowed): Promise<void> {
  if (auth === undefined && !isLoopback(host))
    throw new ConfigurationError(`--http: expected an address of loopback where the admin server asks for no tokens, found '${host}'; configure 'admin.auth'`);
  if (auth !== undefined && publicUrl === undefined && anyAddress.has(host))
    throw new ConfigurationError(
      `--http: expected --public-url beside '${host}', for agents get their tokens for the address that they connect to, found none`,
    );
  const door = await openAgentDoor({
    url,
    auth,
    host,
    port,
    publicUrl,
    allowed,
    version: ownVersion(),
    monotonicMs: () => systemClock.monotonicMs(),
    failed: (error) => writeNote(`a request of an agent failed: ${messageOf(error, 1_000)}`),
  });
  const stopping = new AbortController();
  takeOver({ stop: () => stopping.abort(), say: writeNote });
  writeNote(`agents connect to ${door.url}, by streamable HTTP`);
  await once(stopping.signal, "abort");
  await door.stop();
}

/** With `--at` the configuration is read where it is named alone: for what tokens the admin server asks. */
async function placeOf({ at, config }: McpOptions): Promise<Place> {
  const place = at === undefined ? undefined : new URL(checkedPlace(at)).origin;
  const loaded = at === undefined || config !== undefined ? await loadConfig(config) : undefined;
  const auth = loaded?.config.admin?.auth;
  if (place !== undefined) return { url: place, auth };
  if (loaded === undefined) throw new TypeError("expected a configuration where no address is named");
  return { url: adminAddressOf(loaded), auth };
}

function allowedOf(given: McpOptions["allowChanges"]): Allowed {
  if (given === undefined) return { kind: "nothing" };
  if (given === true) return { kind: "everything" };
  const unknown = given.find((name) => !changes.includes(name));
  if (unknown !== undefined)
    throw new ConfigurationError(`--allow-changes: expected operations that change something (${changes.join(", ")}), found '${unknown}'`);
  return { kind: "named", operations: given };
}

function publicUrlOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "")
    throw new ConfigurationError(
      `--public-url: expected the http or https address that agents connect to, such as https://holdfast.example.com/mcp, found '${text}'`,
    );
  return url.href;
}

function addressOf(text: string): { host: string; port: number } {
  const [, host = "127.0.0.1", port = ""] = /^(?:(\[[\da-f:.]+\]|[^:[\]]+):)?(\d{1,5})$/i.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535) throw new ConfigurationError(`--http: expected HOST:PORT or PORT, such as 127.0.0.1:9471, found '${text}'`);
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}
