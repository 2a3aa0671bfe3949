// A worker in the test's process whose skill has failed for good on what a service answered; its plugin, store and dead letter are left for commands.
import { createServer, type IncomingMessage } from "node:http";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { createProducer, createWorker } from "#runtime/index.ts";

const runtime = resolve(import.meta.dirname, "../../runtime");

/** What the bank answers lacks a receipt where the card is declined: the skill's mistake is on the marked line. */
export const skillSource = `import { defineDependency, definePlugin, defineSkill } from "${runtime}/index.ts";
import { z } from "${resolve(import.meta.dirname, "../../node_modules/zod/index.js")}";

export const stock = defineDependency({ name: "stock" });
export const bank = defineDependency({ name: "bank" });

export const charge = defineSkill({
  name: "charge",
  handles: [{ eventType: "OrderPlaced" }],
  payload: z.object({ order: z.string(), amount: z.number(), card: z.object({ holder: z.string().meta({ sensitive: true }), number: z.string().meta({ sensitive: true }) }) }),
  uses: [stock, bank],
  retry: { attemptsMax: 2, immediateMax: 1 },
  async run(context) {
    const { order, amount } = context.event.payload;
    const { body: held } = await context.step("hold", (step) => step.call(stock, { method: "POST", path: "/holds", body: { order } }));
    const receipt = await context.step("charge", async (step) => {
      const { body } = await step.call(bank, { method: "POST", path: "/charges", body: { amount, hold: held.id } });
      return body.receipt.id; // the line
    });
    context.emit("OrderCharged", { order, receipt });
  },
});

export default definePlugin({ skills: [charge], dependencies: [stock, bank] });
`;

export const mistakeLine: number = skillSource.split("\n").findIndex((line) => line.includes("// the line")) + 1;

export interface DebugScene {
  readonly folder: string;
  readonly config: string;
  readonly broker: Broker;
  /** What services were asked, one after the other. */
  readonly asked: readonly string[];
  /** Where they are. */
  readonly url: string;
}

async function startServices(t: TestContext): Promise<{ readonly url: string; readonly asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    asked.push(`${request.method} ${request.url}`);
    request.resume();
    const body = request.url === "/holds" ? { id: "hold-1" } : { state: "declined", reason: "insufficient" };
    request.on("end", () => response.setHeader("content-type", "application/json").end(JSON.stringify(body)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

export interface DebugSceneOptions {
  /** A project that has the package; default a folder of its own, whose plugin imports the sources of this one. */
  readonly project?: string;
  /** Of the plugin, which is JavaScript as it is. */
  readonly entry?: "index.ts" | "index.js";
}

/** The plugin as a project has it, which has the package installed. */
export const installedSource: string = skillSource.replace(/"[^"]*runtime\/index\.ts"/, '"holdfast"').replace(/"[^"]*node_modules\/zod\/index\.js"/, '"zod"');

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-debug-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Resolves when the dead letter lies there; the worker has stopped by then. */
export async function debugScene(t: TestContext, payload: unknown, { project, entry = "index.ts" }: DebugSceneOptions = {}): Promise<DebugScene> {
  const folder = project ?? folderOf(t);
  const { url, asked } = await startServices(t);
  const broker = await startBroker({ entities: { queues: ["orders", "events"] } });
  t.after(() => broker.stop());
  mkdirSync(join(folder, "plugins/charge"), { recursive: true });
  writeFileSync(
    join(folder, "plugins/charge/holdfast.plugin.json"),
    JSON.stringify({ name: "charge", version: "1.0.0", entry: `./${entry}`, skills: ["charge"], dependencies: ["stock", "bank"] }),
  );
  writeFileSync(join(folder, "plugins/charge", entry), project === undefined ? skillSource : installedSource);
  const input = {
    sources: [{ queue: "orders" }],
    serviceBus: { connectionString: broker.connectionString },
    store: { kind: "sqlite" as const, path: "runs.sqlite" },
    plugins: ["./plugins/charge"],
    publish: { entity: "events" },
    dependencies: { stock: { baseUrl: url }, bank: { baseUrl: url } },
    threads: 1,
  };
  const log: string[] = [];
  const config = join(folder, "holdfast.config.json");
  writeFileSync(config, JSON.stringify(input));
  const worker = createWorker(input, { directory: folder, log: (line) => void log.push(line) });
  const producer = createProducer({ serviceBus: input.serviceBus, publish: { entity: "orders" }, projectId: "shop", agent: "test" });
  const ended = Promise.withResolvers<void>();
  worker.on("message.settled", ({ outcome }) => outcome === "dead-lettered" && ended.resolve());
  try {
    await worker.start();
    await producer.send("OrderPlaced", payload, { eventId: "order-1" });
    await within(ended.promise, () => log.slice(-10).join(""));
  } finally {
    await Promise.all([worker.stop(), producer.stop()]);
  }
  return { folder, config, broker, asked, url };
}

async function within(promise: Promise<void>, say: () => string): Promise<void> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`expected the event to be dead-lettered, it was not: ${say()}`)), 20_000);
  await Promise.race([promise, late.promise]).finally(() => clearTimeout(timer));
}
