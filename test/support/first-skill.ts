// The README's first skill, from its own code blocks: what is written there is what is tried.
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join, resolve } from "node:path";
import { json } from "node:stream/consumers";

const file = resolve(import.meta.dirname, "../../README.md");
const blockPattern = /^```(?<language>\w+)\n(?<text>.*?)^```$/gms;

/** The first code block of a language that stands behind `words`, or holds them. */
export function readmeBlock(words: string, language: string): string {
  const text = readFileSync(file, "utf8");
  for (const { index, groups } of text.matchAll(blockPattern)) {
    if (groups?.["language"] !== language) continue;
    const block = groups["text"] ?? "";
    if (block.includes(words) || text.slice(0, index).includes(words)) return block;
  }
  throw new Error(`expected README.md to have a block of ${language} with or behind '${words}', found none; name what it says now`);
}

/** Lays the first skill and its configuration into a folder, where the README puts them. */
export function writeFirstSkill(folder: string): void {
  const files = {
    "plugins/greeter/holdfast.plugin.json": readmeBlock("`plugins/greeter/holdfast.plugin.json`", "json"),
    "plugins/greeter/index.ts": readmeBlock("`plugins/greeter/index.ts`", "ts"),
    "plugins/greeter/greeter.test.ts": readmeBlock("`plugins/greeter/greeter.test.ts`", "ts"),
    "holdfast.config.ts": readmeBlock("The configuration, `holdfast.config.ts`", "ts"),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

/** The configuration as the README says to try it by hand: a broker here, a store here, and a mailer that answers. Returns its path. */
export function writeLocalConfig(
  folder: string,
  { connectionString, mailerUrl, store }: { readonly connectionString: string; readonly mailerUrl: string; readonly store?: object },
): string {
  const path = join(folder, "local.config.ts");
  const changes = { serviceBus: { connectionString }, ...(store === undefined ? {} : { store }), dependencies: { mailer: { baseUrl: mailerUrl } }, threads: 1 };
  writeFileSync(
    path,
    `import { defineConfig } from "holdfast";
import config from "./holdfast.config.ts";
const { store: _, ...others } = config;
export default defineConfig({ ...others, ...${JSON.stringify(changes)} });
`,
  );
  return path;
}

/** The command that the README says to type, without its comment. */
export function readmeCommand(beginning: string): string {
  const line = readFileSync(file, "utf8")
    .split("\n")
    .find((text) => text.startsWith(beginning));
  if (line === undefined) throw new Error(`expected README.md to have a line that begins '${beginning}', found none`);
  return line.replace(/\s+#.*$/, "");
}

export interface Mailer {
  readonly url: string;
  /** Bodies of the calls that came in. */
  readonly received: readonly { readonly to: string; readonly text: string }[];
  /** Keeps what comes from now on without an answer, until `release`. */
  hold(): void;
  release(): void;
  stop(): Promise<void>;
}

/** What the first skill calls. */
export async function startMailer(): Promise<Mailer> {
  const received: { to: string; text: string }[] = [];
  let released = Promise.withResolvers<void>();
  released.resolve();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    received.push((await json(request)) as { to: string; text: string });
    await released.promise;
    response.writeHead(202).end();
  };
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    hold: () => (released = Promise.withResolvers()),
    release: () => released.resolve(),
    async stop() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
