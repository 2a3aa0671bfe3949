// Who acts for some tenants sees and does what is theirs: each door, and what is about everybody.
import { strict as assert } from "node:assert";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { importJWK, SignJWT } from "jose";
import { documentText } from "#runtime/admin/document.ts";
import { Problem } from "#runtime/admin/problem.ts";
import { AdminEvents } from "#runtime/cli/admin-events.ts";
import { parseConfig } from "#runtime/core/config.ts";
import { type AdminWorld, type Reply, startAdmin } from "../support/admin-world.ts";
import { eventually } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";
import { startTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";
import { runtimeModule, startWorkerBench } from "../support/worker-bench.ts";

const audience = "https://holdfast.example.com";
let issuer: TokenIssuer;
let admin: AdminWorld;

before(async () => {
  issuer = await startTokenIssuer();
  admin = await startAdmin({ auth: { issuer: issuer.issuer, audience, tenantsClaim: "tenants" }, changesPerMinute: 10_000 });
});
after(async () => {
  await admin.stop();
  await issuer.stop();
});

async function tokenFor(tenants: readonly string[] | string | undefined, role = "admin"): Promise<string> {
  const key = await importJWK(issuer.privateKey, "RS256");
  const claims = { sub: "somebody", roles: [`holdfast.${role}`], aud: audience, iss: issuer.issuer, ...(tenants === undefined ? {} : { tenants }) };
  return new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "key-1" }).setIssuedAt().setExpirationTime("5m").sign(key);
}

function bearing(token: string, method: string, path: string, body?: object): Promise<Reply> {
  return admin.call(method, path, { ...(body === undefined ? {} : { body }), headers: { authorization: `Bearer ${token}` } });
}

function detailOf({ json }: Reply): string {
  return String((json as { readonly detail?: unknown }).detail);
}

interface Described {
  readonly operationId: string;
  readonly "x-tenants"?: boolean;
  readonly requestBody?: object;
}

const described = Object.entries((JSON.parse(documentText) as { readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>> }).paths).flatMap(
  ([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

test("for what is about the worker, or about everybody's events, no tenant's token is good, whatever its role", async () => {
  const token = await tokenFor(["acme"]);
  const refused: string[] = [];
  for (const { path, method, operation } of described.filter((one) => one.operation["x-tenants"] !== true)) {
    const url = `/api/v1${path.replaceAll(/\{(\w+)\}/g, "api")}`;
    const reply = await bearing(token, method, url, operation.requestBody === undefined ? undefined : { reason: "a test" });
    assert.equal(reply.status, 403, `${operation.operationId}: ${reply.text}`);
    assert.match(detailOf(reply), /acts for acme alone/);
    refused.push(operation.operationId);
  }
  for (const name of ["getWorker", "listWorkers", "getHistory", "listLimits", "pause", "drain", "changeLogLevel", "setCircuit", "startProbe", "listAudit"])
    assert.ok(refused.includes(name), name);
  assert.equal((await bearing(token, "GET", "/metrics")).status, 403);
  assert.ok(admin.audit.some(({ operation, result }) => operation === "pause" && result === "forbidden"));
  assert.equal(admin.process.worker.view().isPaused, false);
});

test("a token that does not say for whom is refused; one for all tenants may do everything", async () => {
  for (const tenants of [undefined, [], ""]) {
    const reply = await bearing(await tokenFor(tenants), "GET", "/api/v1/worker");
    assert.equal(reply.status, 403);
    assert.match(detailOf(reply), /the claim 'tenants'/);
  }
  assert.equal((await bearing(await tokenFor(["*"]), "GET", "/api/v1/worker")).status, 200);
  assert.deepEqual((await bearing(await tokenFor("acme zoo", "viewer"), "GET", "/api/v1/caller")).json, {
    who: "somebody",
    role: "viewer",
    tenants: ["acme", "zoo"],
  });
  assert.equal((await bearing(await tokenFor(["acme"], "viewer"), "POST", "/api/v1/replays", { group: "a", expected: 1, reason: "x" })).status, 403);
});

test("where plugins lie on the worker's machine is shown to no tenant", async () => {
  const pluginFor = async (tenant: string): Promise<unknown> => {
    const { json } = await bearing(await tokenFor([tenant], "viewer"), "GET", "/api/v1/skills");
    return (json as readonly { readonly plugin: unknown }[])[0]?.plugin;
  };
  assert.deepEqual(await pluginFor("acme"), { name: "p", version: "1.0.0" });
  assert.deepEqual(await pluginFor("*"), { name: "p", version: "1.0.0", folder: "/srv/p", listedAs: "./p" });
});

test("of what is under way a tenant sees its own, and as many as it asks for", async () => {
  const { world, process } = admin;
  process.executor.script = async (run) => {
    await run.takes(600_000);
    return { kind: "completed", outbox: [] };
  };
  for (const [eventId, tenantId] of [
    ["other-1", "zoo"],
    ["own-1", "acme"],
    ["nobodys", ""],
    ["own-2", "acme"],
  ] as const)
    world.send(world.message(eventId, "calls", {}, tenantId === "" ? {} : { tenantId }));
  await world.clock.until("all to be here", () => process.worker.view().inFlight === 4, 10_000);
  const seen = async (tenants: readonly string[], limit = 100): Promise<readonly string[]> => {
    const { json } = await bearing(await tokenFor(tenants), "GET", `/api/v1/under-way?limit=${limit}`);
    return (json as readonly { readonly eventId: string }[]).map(({ eventId }) => eventId);
  };
  assert.deepEqual(await seen(["acme"]), ["own-1", "own-2"]);
  assert.deepEqual(await seen(["acme"], 1), ["own-1"]);
  assert.deepEqual(await seen(["nobody"]), []);
  assert.equal((await seen(["*"])).length, 4);
});

const module = (): string => `import { PermanentError, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: "Tried" }],
  steps: (begin) => begin.step("pay", { kind: "idempotent" }, ({ event }) => {
    if (event.payload.refused) throw new PermanentError("the card was refused", { code: "CARD_REFUSED" });
    return "paid";
  }),
});
export default definePlugin({ skills: [payer] });
`;

interface Groups {
  readonly fingerprint: string;
  readonly count: number;
  readonly example: { readonly eventId: string; readonly reason: string };
}

longTest("a tenant's operator neither sees nor brings back another's events, nor counts them, nor reaches them by their ids", async (t) => {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["payer"], module });
  await bench.startWorker({});
  const config = parseConfig(
    {
      sources: [{ queue: "input" }],
      serviceBus: { connectionString: bench.broker.connectionString },
      plugins: ["./plugin"],
      store: { kind: "sqlite", path: join(bench.folder, "runs.sqlite") },
    },
    "test",
  );
  const doors = new AdminEvents(config, bench.folder);
  t.after(() => doors.stop());
  const acme = new Set(["acme"]);
  for (const [eventId, tenant] of [
    ["acme-1", "acme"],
    ["acme-2", "acme"],
    ["zoo-1", "zoo"],
    ["nobodys", undefined],
  ] as const)
    await bench.send(eventId, { refused: true }, "Tried", tenant);
  await bench.send("zoo-done", { secret: 1 }, "Tried", "zoo");
  const all = async (): Promise<readonly Groups[]> => (await doors.deadLetters(undefined, undefined)) as readonly Groups[];
  await eventually("all to be dead-lettered", async () => (await all()).reduce((sum, { count }) => sum + count, 0) === 4, 30_000);
  // An event of their own, under the id of another's.
  await eventually("another's event to be done", async () => (await doors.run(undefined, "zoo-done", undefined)) !== undefined);
  await bench.send("zoo-done", { other: 1 }, "Tried", "acme");
  await eventually("it to be refused", async () => (await all()).some(({ example }) => example.reason === "EventIdReuse"), 30_000);

  const groups = (await doors.deadLetters(undefined, acme)) as readonly Groups[];
  const own = groups.find(({ example }) => example.reason !== "EventIdReuse");
  assert.deepEqual([own?.count, own?.example.eventId], [2, "acme-2"]);
  for (const eventId of ["zoo-1", "nobodys", "zoo-done"]) {
    assert.equal(await doors.run(undefined, eventId, acme), undefined, eventId);
    const told = await doors.explain(undefined, eventId, acme);
    assert.ok(told === undefined || (told as { readonly state: string }).state === "no record", `${eventId} ${JSON.stringify(told)}`);
  }
  assert.equal(((await doors.run(undefined, "acme-1", acme)) as { readonly state: string }).state, "dead");
  assert.ok((await doors.explain(undefined, "acme-1", acme)) !== undefined);
  const listed = (await doors.runs(undefined, { states: [], skill: undefined, limit: 50 }, acme)) as {
    readonly total: number;
    readonly runs: readonly { readonly eventId: string }[];
  };
  assert.deepEqual([listed.total, listed.runs.map(({ eventId }) => eventId).toSorted()], [2, ["acme-1", "acme-2"]]);

  for (const to of ["cancel", "resume"] as const) {
    const ofOne = { to, reason: "a test", who: "somebody", dryRun: false, repeatsInDoubt: false };
    for (const eventId of ["zoo-1", "nobodys", "zoo-done"])
      await assert.rejects(doors.changeRun(undefined, { ...ofOne, eventId }, acme), (error) => error instanceof Problem && error.kind === "not-found", eventId);
  }
  const look = { to: "resume", eventId: "acme-1", reason: "a test", who: "somebody", dryRun: true, repeatsInDoubt: false } as const;
  assert.deepEqual((await doors.changeRun(undefined, look, acme)).was, "dead");

  const order = { group: own?.fingerprint ?? "", from: "checkpoint", repeatsInDoubt: false, reason: "a test", who: "somebody" } as const;
  await assert.rejects(doors.replay(undefined, { ...order, expected: 4 }, acme), (error) => error instanceof Problem && /found 2;/.test(error.message));
  const reused = groups.find(({ example }) => example.reason === "EventIdReuse")?.fingerprint ?? "";
  await assert.rejects(
    doors.replay(undefined, { ...order, group: reused, expected: 1 }, acme),
    (error) => error instanceof Problem && error.kind === "conflict",
  );
  await doors.replay(undefined, { ...order, expected: 2 }, acme);
  await eventually("the replay to end", () => doors.replays(acme)[0]?.state !== "replaying", 60_000);
  assert.deepEqual(doors.replays(new Set(["zoo"])), []);
  assert.equal(doors.replays(undefined).length, 1);
  const zoo = (await doors.run(undefined, "zoo-1", undefined)) as { readonly generation: number };
  const brought = (await doors.run(undefined, "acme-1", undefined)) as { readonly generation: number };
  assert.deepEqual([zoo.generation, brought.generation > 0], [0, true]);
});

test("one run has the pace of looks through messages, by which it is known whose it is", async () => {
  const one = await startAdmin({ auth: { issuer: issuer.issuer, audience, tenantsClaim: "tenants" } });
  try {
    const statuses = async (tenants: readonly string[], count: number): Promise<ReadonlySet<number>> => {
      const headers = { authorization: `Bearer ${await tokenFor(tenants)}` };
      const found = new Set<number>();
      for (let look = 0; look < count; look += 1) found.add((await one.call("GET", "/api/v1/runs/order%2F4711", { headers })).status);
      return found;
    };
    assert.deepEqual(await statuses(["*"], 121), new Set([200]));
    assert.deepEqual(await statuses(["acme"], 120), new Set([200]));
    assert.deepEqual(await statuses(["acme"], 1), new Set([429]));
  } finally {
    await one.stop();
  }
});
