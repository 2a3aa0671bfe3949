// Settings, a secret and a pause are changed while a worker works: each counts at once, a wrong one is refused, and nothing is lost.
import { strict as assert } from "node:assert";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setInterval } from "node:timers/promises";
import { awakeMsBetween, awakeTimeOption } from "../support/awake-time.ts";
import { eventually, within } from "../support/eventually.ts";
import { isLong } from "../support/long.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const module = (): string => `import { defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const mailer = defineDependency({ name: "mailer", baseUrl: "http://127.0.0.1:1", bulkhead: { concurrentMax: 16, queueMax: 64 }, limits: [{ requestsPerMinute: 9000000 }] });
const writer = defineSkill({ name: "writer", handles: [{ eventType: "Tried" }], uses: [mailer], run: (context) => (context.log.debug(context.isOn("loud") ? "writes loudly" : "writes"), context.step("write", { kind: "idempotent" }, () => 1)) });
export default definePlugin({ skills: [writer], dependencies: [mailer] });
`;

const rounds = isLong ? 10 : 1;
const eventsPerSecond = 200;

/** A line of the worker's about a change. */
interface ChangeLine {
  readonly time: string;
  readonly state: string;
  readonly error: string;
}

test("live reload: a limit, a pause, a flag, a secret and a log level changed while 200 events a second flow: nothing lost, applied within 2 s, a bad value refused and said", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["writer"], dependencies: ["mailer"], module });
  const [live, bus, awake] = [join(bench.folder, "holdfast.live.yaml"), join(bench.folder, "bus"), join(bench.folder, "awake")];
  writeFileSync(bus, `${bench.broker.connectionString}\n`);
  const worker = await bench.startWorker(
    { serviceBus: { connectionString: { file: "bus" } }, live: {}, flags: { loud: false } },
    { HOLDFAST_ADMIN__PORT: "0", NODE_OPTIONS: awakeTimeOption(awake) },
  );
  const url = String(worker.events("admin")[0]?.["url"]);
  const get = async (path: string): Promise<Record<string, unknown>> => (await (await fetch(`${url}/api/v1/${path}`)).json()) as Record<string, unknown>;
  const lines = (type: "settings.changed" | "secret.changed"): readonly ChangeLine[] => worker.events(type) as unknown as readonly ChangeLine[];
  const input = (): { readonly completed: number; readonly deadLettered: number } => {
    const { totals } = bench.broker.inspect().queues["input"] ?? assert.fail("expected the queue");
    return totals;
  };
  let sent = 0;
  const over = new AbortController();
  const flow = (async () => {
    for await (const _tick of setInterval(50)) {
      if (over.signal.aborted) break;
      await Promise.all(Array.from({ length: eventsPerSecond / 20 }, () => bench.send(`event-${(sent += 1)}`)));
    }
  })();
  /** Between what the machine's clock stamps, the file and the worker's line: how busy the test is meanwhile does not matter, nor whether the worker gets a processor. */
  const changes = async (
    what: string,
    file: string,
    text: string,
    state: string,
    type: Parameters<typeof lines>[0] = "settings.changed",
  ): Promise<ChangeLine> => {
    const before = lines(type).length;
    writeFileSync(file, text);
    const writtenAtMs = statSync(file).mtimeMs;
    const line = await eventually(what, () => lines(type)[before], 20_000);
    const loggedAtMs = Date.parse(line.time);
    await eventually("the worker's clock to be written", () =>
      readFileSync(awake, "utf8")
        .split("\n")
        .some((look) => Number.parseInt(look, 10) >= loggedAtMs),
    );
    const tookMs = awakeMsBetween(awake, writtenAtMs, loggedAtMs);
    t.diagnostic(`${what}: ${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < 2_000, `expected ${what} within 2 s, it took ${tookMs} ms`);
    assert.equal(line.state, state, line.error);
    return line;
  };
  for (let round = 1; round <= rounds; round += 1) {
    await eventually("events to flow", () => input().completed > 20);
    if (round === 1) assert.ok(!worker.log().includes('"msg":"writes"'), "expected no line below the level");
    await changes(
      "limit and level",
      live,
      `logLevel: debug\ndependencies: { mailer: { bulkhead: { concurrentMax: ${round + 1} }, limits: [{ requestsPerMinute: 6000000 }] } }\n`,
      "applied",
    );
    const limits = (await get("limits")) as unknown as readonly { readonly policy: { readonly requestsPerMinute: number } }[];
    await eventually("lines of skills at the new level", () => worker.log().includes('"msg":"writes"'), 20_000);
    assert.deepEqual([limits[0]?.policy.requestsPerMinute, (await get("log-level"))["level"]], [6_000_000, "debug"]);
    const loudly = worker.log().split('"msg":"writes loudly"').length;
    await changes("a flag", live, "logLevel: debug\nflags: { loud: true }\n", "applied");
    await eventually("skills to see the flag", () => worker.log().split('"msg":"writes loudly"').length > loudly, 20_000);
    const unknown = await changes("a flag that there is not", live, "logLevel: debug\nflags: { loud: true, proud: true }\n", "refused");
    assert.match(unknown.error, /found 'proud'/);
    await changes("the new secret", bus, `${bench.broker.connectionString};TransportType=Amqp${round}\n`, "replaced", "secret.changed");
    const refused = await changes("the refusal", live, "logLevel: loud\nisPaused: true\n", "refused");
    assert.match(refused.error, /logLevel: expected one of .*, got "loud"/);
    await changes("the pause", live, "isPaused: true\n", "applied");
    assert.equal((await get("worker"))["isPaused"], true);
    await changes("the end of the pause", live, "{}\n", "applied");
    assert.equal((await get("log-level"))["level"], "info");
  }
  over.abort();
  await flow;
  await within(
    "all to be completed",
    eventually("all events to be completed", () => input().completed === sent, 40_000),
    41_000,
  );
  assert.deepEqual([input().deadLettered, lines("secret.changed").map(({ state }) => state)], [0, Array.from({ length: rounds }, () => "replaced")]);
  assert.ok(!worker.log().includes("SharedAccessKey="));
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /holdfast_settings_changes_total\{from="file",state="refused"\} \d/);
});
