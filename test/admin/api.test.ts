// The API does what its document says, and nothing that it does not: each operation is called, and each answer held against its schema.
import { strict as assert } from "node:assert";
import { request } from "node:http";
import { after, before, test } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { documentText } from "#runtime/admin/document.ts";
import { type AdminWorld, type Reply, startAdmin, workerName } from "../support/admin-world.ts";

interface Described {
  readonly operationId: string;
  readonly "x-role": string;
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, { readonly content?: { readonly "application/json": { readonly schema: object } } }>>;
}

const document = JSON.parse(documentText) as { readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>> };
const ajv = new Ajv2020({ strict: false, validateFormats: false }).addSchema({ ...document, $id: "openapi.json" });
const described = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

let admin: AdminWorld;
before(async () => {
  admin = await startAdmin({ changesPerMinute: 10_000 });
});
after(() => admin.stop());

function checked(reply: Reply, schema: object): void {
  const validate = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', '"$ref":"openapi.json#/')) as object);
  assert.ok(validate(reply.json), `${JSON.stringify(validate.errors)} in ${reply.text.slice(0, 500)}`);
}

function problem(reply: Reply, status: number, kind: string): string {
  assert.equal(reply.status, status, reply.text);
  assert.match(reply.type, /^application\/problem\+json/);
  checked(reply, { $ref: "#/components/schemas/Problem" });
  const { type, detail } = reply.json as { readonly type: string; readonly detail: string };
  assert.equal(type, `urn:holdfast:problem:${kind}`);
  return detail;
}

const values: Readonly<Record<string, string>> = { dependency: "api", by: "all", eventId: encodeURIComponent("order/4711"), id: "r1" };
const bodies: Readonly<Record<string, object>> = {
  changeBulkhead: { concurrentMax: 8 },
  changeLimit: { requestsPerMinute: 1_200 },
  changeRetryBudget: { ratio: 0.5 },
  changeLoadShedding: { enabled: false },
  changeLatencyWatch: { factor: 3 },
  changeLogLevel: { level: "debug" },
  setCircuit: { state: "isolated" },
  startReplay: { group: "3fa2c1d4", expected: 2 },
  drain: { worker: workerName },
};

test("each operation of the document answers as the document says", async () => {
  let probeId = "";
  // A replay is looked at after it was ordered; the worker is drained last.
  const order = ["startReplay", "startProbe", "getReplay", "getProbe", "drain"];
  for (const { path, method, operation } of described.toSorted(
    (one, other) => order.indexOf(one.operation.operationId) - order.indexOf(other.operation.operationId),
  )) {
    const found = operation.operationId === "getProbe" ? { ...values, id: probeId } : values;
    const url = `/api/v1${path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => found[name] ?? "")}`;
    const isChange = operation.requestBody !== undefined;
    const etag = isChange && method !== "POST" ? (await admin.call("GET", url)).headers.get("etag") : null;
    const options = isChange ? { body: { ...bodies[operation.operationId], reason: "a test" }, headers: etag === null ? {} : { "if-match": etag } } : {};
    const reply = await admin.call(method, url, options);
    const [status = "", response] = Object.entries(operation.responses)[0] ?? [];
    assert.equal(String(reply.status), status, `${operation.operationId}: ${reply.text}`);
    if (operation.operationId === "startProbe") probeId = (reply.json as { readonly id: string }).id;
    checked(reply, response?.content?.["application/json"].schema ?? {});
  }
  admin.life = { phase: "running", wornOut: undefined };
  assert.deepEqual(admin.drained, ["a test"]);
  assert.equal(admin.logLevel, "debug");
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.bulkhead.policy.concurrentMax, 8);
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.circuit.state, "isolated");
  await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "closed", reason: "over" } });
});

test("what the document does not describe is refused, with what was expected", async () => {
  problem(await admin.call("GET", "/api/v1/nothing"), 404, "not-found");
  problem(await admin.call("GET", "/api/v1/worker?pretty=1"), 400, "bad-request");
  problem(await admin.call("GET", "/api/v1/under-way?limit=100000"), 400, "bad-request");
  problem(await admin.call("GET", "/api/v1/runs/nobodys"), 404, "not-found");
  for (const eventId of ["%zz", "a".repeat(600)]) problem(await admin.call("GET", `/api/v1/runs/${eventId}`), 400, "bad-request");
  problem(await admin.call("PUT", "/api/v1/circuits/nobodys", { body: { state: "open", reason: "a test" } }), 404, "not-found");
  assert.match(problem(await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "open" } }), 400, "bad-request"), /reason/);
  assert.match(problem(await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "ajar", reason: "a test" } }), 400, "bad-request"), /state/);
  problem(await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "open", reason: "   " } }), 400, "bad-request");
  problem(await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "open", reason: "a test", force: true } }), 400, "bad-request");
  problem(await admin.call("POST", "/api/v1/pause", { body: "no JSON" }), 400, "bad-request");
  problem(await admin.call("POST", "/api/v1/pause", { body: "reason=x", headers: { "content-type": "application/x-www-form-urlencoded" } }), 415, "wrong-type");
  problem(await admin.call("POST", "/api/v1/pause", { body: { reason: "x".repeat(100_000) } }), 413, "too-large");
  problem(await admin.call("POST", "/api/v1/replays", { body: { group: "3fa2c1d4", expected: "2", reason: "a test" } }), 400, "bad-request");
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.circuit.state, "closed");
});

test("a setting is changed by whoever has seen it as it is, and what the configuration would refuse changes nothing", async () => {
  const url = "/api/v1/bulkheads/api/settings";
  const first = await admin.call("GET", url);
  const etag = first.headers.get("etag") ?? "";
  problem(await admin.call("PATCH", url, { body: { concurrentMax: 5, reason: "a test" } }), 428, "needs-if-match");
  const changed = await admin.call("PATCH", url, { body: { concurrentMax: 5, reason: "a test" }, headers: { "if-match": etag } });
  assert.equal(changed.status, 200);
  assert.notEqual(changed.headers.get("etag"), etag);
  problem(await admin.call("PATCH", url, { body: { concurrentMax: 6, reason: "a test" }, headers: { "if-match": etag } }), 412, "changed-meanwhile");
  const now = changed.headers.get("etag") ?? "";
  assert.match(
    problem(await admin.call("PATCH", url, { body: { concurrentMax: 0, reason: "a test" }, headers: { "if-match": now } }), 400, "bad-request"),
    /concurrentMax/,
  );
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.bulkhead.policy.concurrentMax, 5);
});

test("a paused worker takes nothing, says so, and goes on when it is resumed", async () => {
  const { world, process } = admin;
  await world.clock.advance(5_000);
  const before = process.executor.posted.length;
  assert.equal((await admin.call("POST", "/api/v1/pause", { body: { reason: "a look at the queue" } })).status, 200);
  world.send(world.message("while-paused", "calls"));
  await world.clock.advance(5_000);
  assert.equal(process.executor.posted.length, before);
  const notReady = await admin.call("GET", "/readyz");
  assert.deepEqual([notReady.status, notReady.json], [503, { status: "failing", why: ["it was paused by hand"] }]);
  process.executor.script = async (run) => {
    await run.takes(60_000);
    return { kind: "completed", outbox: [] };
  };
  assert.equal((await admin.call("POST", "/api/v1/resume", { body: { reason: "seen it" } })).status, 200);
  await world.clock.until("it to be run", () => process.executor.posted.length > before, 10_000);
  const [here] = (await admin.call("GET", "/api/v1/under-way")).json as readonly { readonly eventId: string; readonly stage: string }[];
  assert.deepEqual([here?.eventId, here?.stage], ["while-paused", "executing"]);
  assert.equal((await admin.call("GET", "/readyz")).status, 200);
});

test("who changed what is audited, with why, and what it was before; refusals, too", async () => {
  admin.audit.length = 0;
  await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "open", reason: "the bank is closed" } });
  await admin.call("PUT", "/api/v1/circuits/api", { body: { state: "closed", reason: "it is not" } });
  await admin.call("PUT", "/api/v1/circuits/nobodys", { body: { state: "closed", reason: "a slip" } });
  const told = admin.audit.map(({ who, operation, target, reason, result, before: was, after: is }) => {
    const stateOf = (value: unknown): unknown => (value as { readonly state?: unknown } | undefined)?.state;
    return [who, operation, target, reason, result, stateOf(was), stateOf(is)];
  });
  assert.deepEqual(told, [
    ["local", "setCircuit", "api", "the bank is closed", "done", "closed", "open"],
    ["local", "setCircuit", "api", "it is not", "done", "open", "closed"],
    ["local", "setCircuit", "nobodys", "a slip", "not-found", undefined, "closed"],
  ]);
  const listed = (await admin.call("GET", "/api/v1/audit")).json as readonly { readonly reason: string }[];
  assert.deepEqual(
    listed.slice(0, 3).map(({ reason }) => reason),
    ["a slip", "it is not", "the bank is closed"],
  );
});

test("a drain names the worker that is meant", async () => {
  admin.drained.length = 0;
  problem(await admin.call("POST", "/api/v1/drain", { body: { worker: "another", reason: "a test" } }), 409, "conflict");
  assert.deepEqual(admin.drained, []);
});

test("each probe says why not", async () => {
  const probe = async (path: string): Promise<unknown> => {
    const { status, json } = await admin.call("GET", path);
    return [status, (json as { readonly why: unknown }).why];
  };
  admin.life = { phase: "starting", wornOut: undefined };
  assert.deepEqual(await probe("/startupz"), [503, ["broker, store or skill threads have not all started yet"]]);
  assert.deepEqual(await probe("/readyz"), [503, ["it has not started yet"]]);
  assert.deepEqual(await probe("/livez"), [200, []]);
  admin.life = { phase: "running", wornOut: undefined };
  admin.seen = { storeUp: false, threadsReady: false };
  assert.deepEqual(await probe("/readyz"), [503, ["it waits for the store", "it waits for skill threads"]]);
  assert.deepEqual(await probe("/livez"), [200, []]);
  assert.deepEqual(await probe("/startupz"), [200, []]);
  admin.seen = {};
  admin.life = { phase: "running", wornOut: "2 threads do not end" };
  assert.deepEqual(await probe("/livez"), [503, ["only a new process helps: 2 threads do not end"]]);
  admin.life = { phase: "stopping", wornOut: undefined };
  assert.deepEqual(await probe("/readyz"), [503, ["it stops"]]);
  admin.life = { phase: "running", wornOut: undefined };
});

test("a page of elsewhere, and a name that was made to lead here, get nothing", async () => {
  problem(await admin.call("POST", "/api/v1/pause", { body: { reason: "a test" }, headers: { origin: "https://evil.example" } }), 403, "foreign-host");
  assert.equal((await admin.call("POST", "/api/v1/resume", { body: { reason: "a test" }, headers: { origin: admin.url } })).status, 200);
  const status = await new Promise<number | undefined>((answered, failed) => {
    const asked = request(`${admin.url}/api/v1/worker`, { headers: { host: "evil.example" } }, (response) => {
      response.resume();
      answered(response.statusCode);
    });
    asked.on("error", failed).end();
  });
  assert.equal(status, 403);
});

test("how long answers took is counted by operation, refusals among them, and of addresses that are none there is no series", async () => {
  const one = await startAdmin();
  try {
    for (const path of [
      "/api/v1/worker",
      "/api/v1/worker",
      "/api/v1/runs/order%2F4711",
      "/api/v1/bulkheads/none/settings",
      "/livez",
      "/nowhere",
      "/api/v1/nowhere",
    ])
      await one.call("GET", path);
    const { text } = await one.call("GET", "/metrics");
    const counts = [...text.matchAll(/^holdfast_admin_request_seconds_count\{operation="([^"]+)"\} (\d+)/gm)].map(([, name, count]) => `${name} ${count}`);
    assert.deepEqual(counts.toSorted(), ["getBulkhead 1", "getRun 1", "getWorker 2", "livez 1"]);
  } finally {
    await one.stop();
  }
});

test("metrics say what is held of a skill from a source, how much may be, and what bounds it while there is some", async () => {
  const one = await startAdmin();
  try {
    const [place] = one.process.worker.view().intake;
    assert.ok(place !== undefined);
    const rest = { held: 0, window: 8, boundBy: "rate" } as const;
    one.seen = {
      intake: [
        { ...place, source: "mail", held: 3, window: 4, boundBy: "limit" },
        { ...place, source: "post", ...rest },
      ],
    };
    const lines = async (): Promise<string[]> =>
      (await one.call("GET", "/metrics")).text.split("\n").flatMap((line) => /^holdfast_window_(.*)$/.exec(line)?.[1] ?? []);
    const post = ['messages{source="post",skill="calls"} 8', 'held_messages{source="post",skill="calls"} 0'];
    const mail = [4, 3].map((count, index) => `${index === 0 ? "" : "held_"}messages{source="mail",skill="calls"} ${count}`);
    assert.deepEqual((await lines()).toSorted(), [...post, ...mail, 'bound{source="mail",skill="calls",bound="limit"} 1'].toSorted());
    // Of what is not there any more nothing is left.
    one.seen = { intake: [{ ...place, source: "post", ...rest }] };
    assert.deepEqual((await lines()).toSorted(), post.toSorted());
  } finally {
    await one.stop();
  }
});

test("curves have a point a second, with what happened in it", async () => {
  admin.history.look();
  const points = (await admin.call("GET", "/api/v1/history")).json as readonly { readonly atMs: number; readonly held: number }[];
  assert.equal(points.at(-1)?.held, admin.process.worker.view().inFlight);
  assert.deepEqual((await admin.call("GET", `/api/v1/history?after=${points.at(-1)?.atMs}`)).json, []);
});

test("what a change of a run would do is asked for ten times as often as for changes, and audited as no more than that", async () => {
  const one = await startAdmin({ changesPerMinute: 2 });
  try {
    const ask = async (dryRun: boolean): Promise<number> =>
      (await one.call("POST", "/api/v1/runs/event-1/cancel", { body: { reason: "a test", dryRun } })).status;
    const statuses: number[] = [];
    for (const dryRun of [true, true, true, false, false, true, false]) statuses.push(await ask(dryRun));
    assert.deepEqual(statuses, [200, 200, 200, 200, 200, 200, 429]);
    assert.deepEqual(
      one.audit.map(({ result }) => result),
      ["dry-run", "dry-run", "dry-run", "done", "done", "dry-run", "too-many"],
    );
    for (let count = 5; count <= 20; count += 1) assert.equal(await ask(true), 200, `${count}`);
    assert.equal(await ask(true), 429);
  } finally {
    await one.stop();
  }
});

test("looks that go through records or messages have a pace of their own for each caller; what a worker knows by itself has none", async () => {
  const one = await startAdmin();
  try {
    const paths = ["/api/v1/runs", "/api/v1/dead-letters", "/api/v1/runs/order%2F4711/explanation"];
    for (let count = 0; count < 120; count += 1) assert.equal((await one.call("GET", paths[count % 3] ?? "")).status, 200, String(count));
    for (const path of paths) {
      const refused = await one.call("GET", path);
      assert.deepEqual([refused.status, refused.headers.get("retry-after")], [429, "1"], path);
    }
    for (const path of ["/api/v1/worker", "/api/v1/under-way", "/api/v1/runs/order%2F4711", "/api/v1/replays"])
      assert.equal((await one.call("GET", path)).status, 200, path);
    await one.world.clock.advance(1_000);
    assert.equal((await one.call("GET", "/api/v1/runs")).status, 200);
  } finally {
    await one.stop();
  }
});

test("too many changes are refused, and told when to try again; looks are not", async () => {
  const one = await startAdmin({ changesPerMinute: 3 });
  try {
    const statuses: number[] = [];
    for (let count = 0; count < 4; count += 1) statuses.push((await one.call("POST", "/api/v1/resume", { body: { reason: "a test" } })).status);
    assert.deepEqual(statuses, [200, 200, 200, 429]);
    const refused = await one.call("POST", "/api/v1/resume", { body: { reason: "a test" } });
    assert.equal(refused.headers.get("retry-after"), "20");
    assert.equal((await one.call("GET", "/api/v1/worker")).status, 200);
    // Who goes on does not take the place of what others did.
    assert.deepEqual(
      one.audit.map(({ result }) => result),
      ["done", "done", "done", "too-many"],
    );
    await one.world.clock.advance(20_000);
    assert.equal((await one.call("POST", "/api/v1/resume", { body: { reason: "a test" } })).status, 200);
  } finally {
    await one.stop();
  }
});
