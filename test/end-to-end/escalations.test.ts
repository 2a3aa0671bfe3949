// Failures that are too many or too grave reach people and other workers: once for the whole pool, whatever happens to a worker.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { parseConfig } from "#runtime/core/config.ts";
import { eventually } from "../support/eventually.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { startHook } from "../support/http-hook.ts";
import { freePort, startRedis } from "../support/redis-server.ts";
import { mailUser, startMailServer } from "../support/smtp.ts";
import { drillOnEach, testOnEach } from "../support/transports.ts";
import { type RunningWorker, runtimeModule, startWorkerBench } from "../support/worker-bench.ts";
import { storesTried } from "../support/long.ts";

const { REDIS_URL: _redis, ...env } = process.env;

const module = (): string => `import { definePlugin, defineSkill, PermanentError } from ${JSON.stringify(runtimeModule)};
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: "Tried" }],
  run() {
    throw new PermanentError("card refused", { code: "CARD" });
  },
});
export default definePlugin({ skills: [payer] });
`;

type Notice = Readonly<Record<string, unknown>>;

function notices(bodies: readonly { readonly body: string }[]): Notice[] {
  return bodies.map(({ body }) => JSON.parse(body) as Notice);
}

async function storeFor(t: TestContext, kind: "sqlite" | "redis"): Promise<unknown> {
  if (kind === "sqlite") return { kind: "sqlite", path: "runs.sqlite" };
  const server = await startRedis();
  t.after(() => server.stop());
  return { kind: "redis", url: server.url };
}

function said(workers: readonly RunningWorker[], type: string): number {
  return workers.reduce((sum, worker) => sum + worker.events(type).length, 0);
}

for (const kind of storesTried) {
  test(`two workers that see the same failures escalate them once, also when one is killed before it is delivered, with jobs in ${kind}`, async (t) => {
    const hook = await startHook(t);
    const bench = await startWorkerBench(t, { entities: { queues: [{ name: "input", lockDurationMs: 3_000 }, "system"] }, skills: ["payer"], module });
    const letters = (): number => bench.broker.inspect().queues["input"]?.states.deadLettered ?? 0;
    const escalation = {
      channels: { pager: { kind: "webhook", url: hook.url, secret: "sixteen characters" } },
      rules: [{ name: "cards", when: { code: "CARD" }, threshold: { count: 2, windowMs: 600_000 }, to: ["pager"] }],
    };
    const changes = { store: await storeFor(t, kind), escalation, platformEvents: { entity: "system" }, inFlightMax: 1 };
    const first = await bench.startWorker(changes);
    const second = await bench.startWorker(changes);
    const workers = [first, second];
    // Nobody takes it yet: it is decided, and lies in the queue.
    hook.status = 503;
    let sent = 0;
    await eventually(
      kind === "redis" ? "the workers to have reached the threshold together" : "both workers to have reached the threshold",
      async () => {
        const raised = workers.filter((worker) => worker.events("escalation.raised").length > 0).length;
        if (raised === (kind === "redis" ? 1 : 2)) return true;
        if (said(workers, "run.dead-lettered") === sent) await bench.send(`e-${(sent += 1)}`);
        return false;
      },
      60_000,
    );
    await eventually("all of them to be dead-lettered", () => letters() === sent, 20_000);
    await eventually("a try, and who has made it to say so", () => hook.requests.length > 0 && said(workers, "escalation.failed") > 0, 20_000);
    const platformTypes = (): readonly string[] =>
      (bench.broker.inspectMessages("system", { top: 1_000 })?.messages ?? []).map(({ applicationProperties }) => String(applicationProperties["eventType"]));
    await eventually("the platform to hear of it", () => platformTypes().includes("EscalationRaised"), 20_000);
    const [killed, other] = said([first], "escalation.failed") > 0 ? [first, second] : [second, first];
    killed.process.kill("SIGKILL");
    await killed.done;
    hook.status = undefined;
    await eventually("the other worker to deliver it", () => other.events("escalation.sent").length > 0, 60_000);
    // What follows is of the same count, and its jobs come after any that were left.
    await bench.send("later-1");
    await eventually("a further failure", () => letters() === sent + 1, 20_000);
    other.process.kill("SIGTERM");
    await other.done;
    assert.equal(hook.taken.length, 1, other.log());
    if (kind === "redis") assert.equal(said(workers, "escalation.raised"), 1, "expected one conclusion for what both have seen");
    const [notice] = notices(hook.taken);
    assert.deepEqual(
      [notice?.["type"], notice?.["rule"], notice?.["code"], notice?.["counted"], notice?.["projectId"], notice?.["traceId"]],
      ["Escalation", "cards", "CARD", "project=p", "p", "t"],
    );
    assert.equal(new Set(notices(hook.requests).map(({ id }) => id)).size, 1);
    assert.equal(platformTypes().filter((type) => type === "EscalationSent").length, 1);
    for (const worker of workers) assert.doesNotMatch(worker.log(), /T0KEN|sixteen characters/);
  });
}

drillOnEach(
  "a dead letter of a critical project reaches webhook, chat, mail and another queue at once, and the next one only the queue",
  async (t, transport) => {
    const [hook, chat, mail] = await Promise.all([startHook(t), startHook(t), startMailServer(t, { security: "none" })]);
    const bench = await startWorkerBench(t, { entities: { queues: ["input", "people"] }, skills: ["payer"], module });
    const escalation = {
      criticalProjects: ["p"],
      channels: {
        pager: { kind: "webhook", url: hook.url },
        chat: { kind: "chat", url: chat.url },
        mail: { kind: "mail", host: "127.0.0.1", port: mail.port, security: "none", ...mailUser, from: "holdfast@example.com", to: ["ops@example.com"] },
        people: { kind: "queue", queue: "people" },
      },
      rules: [{ name: "any", threshold: { count: 100 }, to: ["pager", "chat", "mail", "people"] }],
    };
    const worker = await bench.startWorker({ transport, escalation });
    await bench.send("a", { amount: 1 });
    await eventually("all four", () => worker.events("escalation.sent").length === 4, 30_000).catch((error: unknown) =>
      assert.fail(`${String(error)} ${worker.log()}`),
    );
    await bench.send("b", { amount: 2 });
    await eventually("the second copy", () => bench.broker.inspect().queues["people"]?.states.active === 2, 30_000);
    assert.deepEqual([hook.taken.length, chat.taken.length, mail.mails.length], [1, 1, 1]);
    const copies = bench.broker.inspectMessages("people")?.messages ?? [];
    const properties = copies.map(({ applicationProperties }) => applicationProperties);
    assert.deepEqual(properties.map((each) => String(each["eventId"])).toSorted(), ["a", "b"]);
    assert.deepEqual(
      [properties[0]?.["holdfast-reassigned-from"], properties[0]?.["holdfast-reassigned-by"], properties[0]?.["holdfast-reassigned-code"]],
      ["input", "any", "CARD"],
    );
    await eventually("both dead letters, which stay", () => bench.broker.inspect().queues["input"]?.states.deadLettered === 2);
    assert.doesNotMatch(worker.log(), /T0KEN|let-me-in/);

    // Workers of that queue that give it up, too, and would send it elsewhere, find that it has been: it is not passed to and fro.
    const other = await bench.startWorker({
      transport,
      sources: [{ queue: "people" }],
      escalation: { ...escalation, channels: { ...escalation.channels, people: { kind: "queue", queue: "input" } } },
    });
    await eventually("both to be given up there", () => bench.broker.inspect().queues["people"]?.states.deadLettered === 2, 30_000);
    other.process.kill("SIGTERM");
    await other.done;
    assert.equal(bench.broker.inspect().queues["input"]?.states.active, 0);
  },
);

testOnEach("a worker is not started with a channel that refuses it, or a queue that is not there; one that is away is reported", async (t, transport) => {
  const mail = await startMailServer(t, { security: "none" });
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["payer"], module });
  const mailer = {
    kind: "mail",
    host: "127.0.0.1",
    port: mail.port,
    security: "none",
    ...mailUser,
    password: "wr0ng-one",
    from: "holdfast@example.com",
    to: ["ops@example.com"],
  };
  const channels = { mail: mailer, away: { ...mailer, port: await freePort() }, people: { kind: "queue", queue: "nowhere" } };
  const escalation = { channels, rules: [{ name: "any", to: ["mail", "away", "people"] }] };
  await assert.rejects(
    bench.startWorker({ transport, escalation }),
    /"check":"channel mail",.*"expected":"it to take the worker's log-in","found":"[^"]+","remedy":"correct the channel's user/,
  );
  const { stdout } = await runCommand(["doctor", "-c", join(bench.folder, "holdfast-0.config.json"), "--json"], env);
  const findings = (JSON.parse(stdout) as readonly { readonly check: string; readonly verdict: string }[]).filter(({ verdict }) => verdict !== "ok");
  assert.deepEqual(
    findings.flatMap(({ check, verdict }) => (/^(?:channel|send)/.test(check) ? [`${check}: ${verdict}`] : [])),
    ["send to nowhere: failed", "channel mail: failed", "channel away: unknown"],
  );
  assert.doesNotMatch(stdout, /wr0ng-one/);
  assert.match(readFileSync(join(bench.folder, "holdfast-0.config.json"), "utf8"), /wr0ng-one/);
});

const base = { sources: [{ queue: "input" }], serviceBus: { connectionString: "Endpoint=sb://x/" }, plugins: ["./p"] };
const pager = { kind: "webhook", url: "https://hooks.example.com/T0KEN" };

test("an escalation that cannot work is refused in words that keep its secrets", () => {
  const refused = (escalation: unknown): string => {
    try {
      parseConfig({ ...base, escalation }, "test");
      return "accepted";
    } catch (error) {
      assert.doesNotMatch(String(error), /T0KEN|s3cret/);
      return String(error);
    }
  };
  const rule = { name: "any", to: ["pager"] };
  assert.equal(refused({ channels: { pager }, rules: [rule] }), "accepted");
  assert.match(refused({ channels: { pager }, rules: [{ ...rule, to: ["pagr"] }] }), /escalation\.rules\.0\.to\.0: expected one of the channels \(pager\)/);
  assert.match(refused({ channels: { pager }, rules: [rule, rule] }), /escalation\.rules\.1\.name: expected each rule to have a name of its own/);
  assert.match(refused({ channels: { pager: { ...pager, url: "ftp://x/T0KEN" } }, rules: [rule] }), /escalation\.channels\.pager\.url: expected https/);
  assert.match(
    refused({ channels: { pager: { ...pager, secret: "s3cret" } }, rules: [rule] }),
    /escalation\.channels\.pager\.secret: expected at least 16 characters/,
  );
  assert.match(refused({ channels: { pager: { kind: "queue", queue: "INPUT" } }, rules: [rule] }), /channels\.pager\.queue: expected a queue other than/);
  assert.match(refused({ channels: { pager: { kind: "queue", queue: "q" } }, rules: [{ ...rule, on: "failure" }] }), /rules\.0\.on: expected dead-letter/);
  assert.match(refused({ channels: { pager }, rules: [{ ...rule, when: { failureClass: "transiet" } }] }), /when\.failureClass/);
  assert.match(refused({ channels: { pager }, rules: [{ ...rule, when: { evenType: "x" } }] }), /did you mean 'eventType'/);
});
