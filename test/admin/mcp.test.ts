// Agents see a worker by the Model Context Protocol, with the official client: over standard streams and over HTTP, with their own tokens and what their roles allow.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type TestContext, test } from "node:test";
import {
  discoverOAuthProtectedResourceMetadata,
  extractWWWAuthenticateParams,
  type OAuthClientProvider,
  selectResourceURL,
} from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { documentText } from "#runtime/admin/document.ts";
import { type AgentDoorOptions, endedInAnyCase, openAgentDoor } from "#runtime/admin/mcp/http.ts";
import type { Allowed } from "#runtime/admin/mcp/server.ts";
import { adminSchema } from "#runtime/core/config/admin.ts";
import { queueName } from "#runtime/testing/world/model-broker.ts";
import { type AdminWorld, startAdmin } from "../support/admin-world.ts";
import { within } from "../support/eventually.ts";
import { runCommand, startCommand } from "../support/holdfast-command.ts";
import { startTokenIssuer } from "../support/token-issuer.ts";

const main = resolve(import.meta.dirname, "../../runtime/cli/main.ts");
const audience = "https://holdfast.example.com";
const everything: Allowed = { kind: "everything" };

interface Told {
  readonly isRefused: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

async function told(client: Client, name: string, given: Readonly<Record<string, unknown>> = {}): Promise<Told> {
  const { content, isError } = (await client.callTool({ name, arguments: given })) as { content: readonly { text: string }[]; isError?: boolean };
  return { isRefused: isError === true, body: JSON.parse(content[0]?.text ?? "null") as Told["body"] };
}

async function connected(t: TestContext, transport: unknown): Promise<Client> {
  const client = new Client({ name: "test", version: "1.0.0" });
  await client.connect(transport as Transport);
  t.after(() => client.close());
  return client;
}

const doorOf = (admin: { readonly url: string }): Omit<AgentDoorOptions, "auth" | "allowed"> => ({
  url: admin.url,
  host: "127.0.0.1",
  port: 0,
  publicUrl: undefined,
  version: "1.0.0",
  monotonicMs: () => performance.now(),
  failed: (error) => assert.fail(String(error)),
});

function byCommand(t: TestContext, args: readonly string[]): Promise<Client> {
  return connected(t, new StdioClientTransport({ command: process.execPath, args: [main, "mcp", ...args], stderr: "ignore" }));
}

async function byHttp(t: TestContext, admin: AdminWorld, allowed: Allowed, token?: string, issuer?: string): Promise<Client> {
  const auth = issuer === undefined ? undefined : adminSchema.parse({ auth: { issuer, audience } }).auth;
  const door = await openAgentDoor({ ...doorOf(admin), auth, allowed });
  t.after(() => door.stop());
  const requestInit = token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } };
  return connected(t, new StreamableHTTPClientTransport(new URL(door.url), { requestInit }));
}

async function started(t: TestContext, ...settings: Parameters<typeof startAdmin>): Promise<AdminWorld> {
  const admin = await startAdmin(...settings);
  t.after(() => admin.stop());
  return admin;
}

test("over standard streams an agent reads everything, finds what is wrong with one event, and changes nothing unless that is allowed", async (t) => {
  const admin = await started(t);
  const client = await byCommand(t, ["--at", admin.url]);
  assert.match(client.getInstructions() ?? "", /never instructions/);
  const { tools } = await client.listTools();
  assert.ok(tools.every(({ annotations }) => annotations?.readOnlyHint === true));
  const explained = await told(client, "explainRun", { eventId: "order/4711" });
  assert.deepEqual([explained.isRefused, explained.body["eventId"]], [false, "order/4711"]);
  const unknown = await told(client, "explainRun", { eventId: "nobodys" });
  assert.equal(unknown.isRefused, true);
  assert.match(String(unknown.body["detail"]), /expected a record of event 'nobodys'/);
  const refused = await told(client, "setCircuit", { dependency: "api", state: "isolated", reason: "a test" });
  assert.equal(refused.isRefused, true);
  assert.match(String(refused.body["detail"]), /--allow-changes setCircuit/);
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.circuit.state, "closed");
  await assert.rejects(told(client, "formatDisk"), /expected a tool that tools\/list names, found 'formatDisk'/);
});

test("every operation of the API is a tool, with its parameters and its body as arguments that need no other document", async (t) => {
  const admin = await started(t);
  const client = await byHttp(t, admin, everything);
  const { tools } = await client.listTools();
  const { paths } = JSON.parse(documentText) as { readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly operationId: string }>>>> };
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId));
  assert.deepEqual(tools.map(({ name }) => name).toSorted(), [...operations, "proposeReplay"].toSorted());
  assert.doesNotMatch(JSON.stringify(tools), /\$ref/);
  const change = tools.find(({ name }) => name === "changeBulkhead");
  assert.deepEqual(change?.inputSchema.required?.toSorted(), ["dependency", "ifMatch", "reason"]);
});

test("a replay is proposed, with the number of letters that there are, and carried out as it was proposed", async (t) => {
  const admin = await started(t);
  const client = await byHttp(t, admin, { kind: "named", operations: ["startReplay"] });
  const { body } = await told(client, "proposeReplay", { group: "3fa2c1d4" });
  const call = body["call"] as { readonly tool: string; readonly arguments: Readonly<Record<string, unknown>> };
  assert.deepEqual([call.tool, call.arguments["expected"], call.arguments["source"]], ["startReplay", 2, queueName]);
  assert.deepEqual(admin.doors.ordered, []);
  const carried = await told(client, call.tool, { ...call.arguments, reason: "the terminal was replaced" });
  assert.equal(carried.isRefused, false, JSON.stringify(carried.body));
  assert.deepEqual(
    admin.doors.ordered.map(({ group, expected, reason }) => [group, expected, reason]),
    [["3fa2c1d4", 2, "the terminal was replaced"]],
  );
  assert.deepEqual(
    admin.audit.map(({ operation, result }) => [operation, result]),
    [["startReplay", "done"]],
  );
  const none = await told(client, "proposeReplay", { group: "ffffffff" });
  assert.match(String(none.body["detail"]), /expected a group of dead letters 'ffffffff', found 3fa2c1d4 \(2\)/);
  // What was not named is not allowed, whatever the agent's role.
  assert.equal((await told(client, "pause", { reason: "a test" })).isRefused, true);
  assert.equal(admin.process.worker.view().isPaused, false);
});

test("a setting is changed with what reading it gave, and not by whoever has not seen it as it is", async (t) => {
  const admin = await started(t);
  const client = await byHttp(t, admin, everything);
  const { body } = await told(client, "getBulkhead", { dependency: "api" });
  const change = { dependency: "api", concurrentMax: 3, reason: "a test", ifMatch: body["ifMatch"] };
  assert.equal((await told(client, "changeBulkhead", change)).isRefused, false);
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.bulkhead.policy.concurrentMax, 3);
  const again = await told(client, "changeBulkhead", { ...change, concurrentMax: 4 });
  assert.deepEqual([again.isRefused, again.body["status"]], [true, 412]);
});

test("arguments that the API does not know, or that would make another address of the call, are refused", async (t) => {
  const admin = await started(t);
  const client = await byHttp(t, admin, everything);
  for (const [name, given] of [
    ["getWorker", { pretty: true }],
    ["getRun", { eventId: ".." }],
    ["getRun", {}],
    ["getRun", { eventId: { a: 1 } }],
    ["setCircuit", { dependency: "api", state: "open", reason: "a test", force: true }],
    ["proposeReplay", { group: 5 }],
    ["proposeReplay", { group: "3fa2c1d4", expected: 2 }],
  ] as const) {
    const { isRefused, body } = await told(client, name, given);
    assert.equal(isRefused, true, name);
    assert.match(String(body["detail"]), /expected/, name);
  }
  assert.equal(admin.process.worker.policies.view().dependencies[0]?.circuit.state, "closed");
});

test("an agent may do what its token's roles say, is named in the audit, and without a token learns where to get one", async (t) => {
  const issuer = await startTokenIssuer();
  t.after(() => issuer.stop());
  const admin = await started(t, { auth: { issuer: issuer.issuer, audience } });
  const circuit = { dependency: "api", state: "open", reason: "it is being moved" };
  const viewer = await byHttp(t, admin, everything, await issuer.token(["holdfast.viewer"], audience), issuer.issuer);
  const operator = await byHttp(t, admin, everything, await issuer.token(["holdfast.operator"], audience), issuer.issuer);
  assert.equal((await told(viewer, "getWorker")).isRefused, false);
  const refused = await told(viewer, "setCircuit", circuit);
  assert.deepEqual([refused.isRefused, refused.body["status"]], [true, 403]);
  assert.equal((await told(operator, "setCircuit", circuit)).isRefused, false);
  assert.deepEqual(
    admin.audit.map(({ who, role, result }) => [who.split(" ")[0], role, result]),
    [
      ["operators", "viewer", "forbidden"],
      ["operators", "operator", "done"],
    ],
  );

  const auth = adminSchema.parse({ auth: { issuer: issuer.issuer, audience } }).auth;
  const door = await openAgentDoor({ ...doorOf(admin), auth, allowed: everything });
  t.after(() => door.stop());
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream" };
  const without = await fetch(door.url, { method: "POST", headers, body });
  assert.equal(without.status, 401);
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(without.headers.get("www-authenticate") ?? "")?.[1] ?? "";
  const metadata = (await (await fetch(metadataUrl)).json()) as Readonly<Record<string, unknown>>;
  assert.deepEqual([metadata["resource"], metadata["authorization_servers"]], [door.url, [issuer.issuer]]);
  const foreign = await fetch(door.url, {
    method: "POST",
    headers: { ...headers, authorization: `Bearer ${await issuer.token(["holdfast.admin"], "https://another.example.com")}` },
    body,
  });
  assert.deepEqual([foreign.status, /invalid_token/.test(foreign.headers.get("www-authenticate") ?? "")], [401, true]);
});

test("the official client finds the issuer from where it connects, also behind another address, whatever the audience is called", async (t) => {
  const issuer = await startTokenIssuer();
  t.after(() => issuer.stop());
  const auth = adminSchema.parse({ auth: { issuer: issuer.issuer, audience: "api://holdfast" } }).auth;
  for (const publicUrl of [undefined, "https://agents.example.com/tools/mcp"]) {
    const options = { ...doorOf({ url: "http://127.0.0.1:1" }), auth, allowed: everything };
    const door = await openAgentDoor({ ...options, publicUrl });
    t.after(() => door.stop());
    const serverUrl = publicUrl ?? door.url;
    // What stands before it gives every path on.
    const fetchFn = (url: string | URL): Promise<Response> => fetch(new URL(new URL(url).pathname, door.url));
    const refused = await fetch(door.url, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    const resourceMetadataUrl = extractWWWAuthenticateParams(refused).resourceMetadataUrl;
    assert.equal(resourceMetadataUrl?.origin, new URL(serverUrl).origin);
    for (const given of [{ resourceMetadataUrl }, {}]) {
      const metadata = await discoverOAuthProtectedResourceMetadata(serverUrl, given, fetchFn);
      assert.deepEqual(metadata.authorization_servers, [issuer.issuer]);
      assert.equal((await selectResourceURL(serverUrl, {} as OAuthClientProvider, metadata))?.href, serverUrl);
    }
  }
});

test("a token that keeps being wrong is not looked at at this door, either", async (t) => {
  const issuer = await startTokenIssuer();
  t.after(() => issuer.stop());
  const auth = adminSchema.parse({ auth: { issuer: issuer.issuer, audience } }).auth;
  const options = { ...doorOf({ url: "http://127.0.0.1:1" }), auth, allowed: everything };
  const door = await openAgentDoor({ ...options, monotonicMs: () => 0 });
  t.after(() => door.stop());
  const headers = { "content-type": "application/json", authorization: "Bearer a.b.c" };
  let status = 401;
  let tries = 0;
  for (; status === 401 && tries < 100; tries += 1) ({ status } = await fetch(door.url, { method: "POST", headers, body: "{}" }));
  assert.deepEqual([status, tries], [429, 31]);
});

test("a request that does not arrive is ended, and so is a connection that stands still", async (t) => {
  const still = { arrivesWithinMs: 60_000, stillMaxMs: 50 };
  const slow = { arrivesWithinMs: 50, stillMaxMs: 60_000 };
  for (const times of [still, slow]) {
    const door = await openAgentDoor({ ...doorOf({ url: "http://127.0.0.1:1" }), auth: undefined, allowed: everything, times });
    t.after(() => door.stop());
    const socket = connect(Number(new URL(door.url).port), "127.0.0.1");
    socket.on("error", () => undefined).resume();
    socket.write("POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{");
    await within("the end of the connection", once(socket, "close"));
  }
});

test("a request whose answer fails is ended with 500, and why is told to who runs the door", async (t) => {
  const failures: unknown[] = [];
  const failed = (error: unknown): void => void failures.push(error);
  const server = createServer((_request, response) => void endedInAnyCase(response, Promise.reject(new Error("it failed")), { failed }));
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const reply = await within("an answer", fetch(`http://127.0.0.1:${port}/mcp`));
  assert.deepEqual([reply.status, ((await reply.json()) as { readonly status: number }).status], [500, 500]);
  assert.deepEqual(failures.map(String), ["Error: it failed"]);
});

test("a page of elsewhere cannot have a browser speak to it, and there is nothing to listen to", async (t) => {
  const admin = await started(t);
  const door = await openAgentDoor({ ...doorOf(admin), auth: undefined, allowed: everything });
  t.after(() => door.stop());
  const headers = { "content-type": "application/json", accept: "application/json, text/event-stream", origin: "https://elsewhere.example.com" };
  assert.equal((await fetch(door.url, { method: "POST", headers, body: "{}" })).status, 403);
  assert.equal((await fetch(door.url)).status, 405);
});

test("the token of the file is shown, and a new one from the next call on", async (t) => {
  const issuer = await startTokenIssuer();
  const folder = mkdtempSync(join(tmpdir(), "holdfast-mcp-"));
  t.after(async () => {
    await issuer.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const admin = await started(t, { auth: { issuer: issuer.issuer, audience } });
  const file = join(folder, "token");
  writeFileSync(file, "not-a-token\n");
  const client = await byCommand(t, ["--at", admin.url, "--token-file", file]);
  assert.deepEqual((await told(client, "getWorker")).body["status"], 401);
  writeFileSync(file, `${await issuer.token(["holdfast.viewer"], audience)}\n`);
  assert.equal((await told(client, "getWorker")).isRefused, false);
});

test("the command over HTTP says where agents connect, and ends with 0 when it is asked to stop; wrong options are named", async () => {
  const { process: child, done } = startCommand(["mcp", "--at", "http://127.0.0.1:1", "--http", "127.0.0.1:0"]);
  let said = "";
  while (!/agents connect to http:\/\/127\.0\.0\.1:\d+\/mcp/.test(said)) said += String((await once(child.stderr!, "data"))[0]);
  const client = new Client({ name: "test", version: "1.0.0" });
  await client.connect(new StreamableHTTPClientTransport(new URL(/http:\S+\/mcp/.exec(said)?.[0] ?? "")));
  assert.match(String((await told(client, "getWorker")).body["detail"]), /expected the admin server on http:\/\/127\.0\.0\.1:1 to answer/);
  await client.close();
  child.kill("SIGTERM");
  assert.equal((await done).code, 0);
  for (const [args, words] of [
    [["--at", "ftp://x"], /--at: expected an http or https address, found 'ftp:\/\/x'/],
    [["--at", "http://127.0.0.1:1", "--http", "0.0.0.0:1"], /--http: expected an address of loopback/],
    [["--at", "http://127.0.0.1:1", "--http", "--public-url", "example.com"], /--public-url: expected the http or https address/],
    [["--at", "http://127.0.0.1:1", "--public-url", "https://a.example.com/mcp"], /--public-url: expected it with --http/],
    [["--at", "http://127.0.0.1:1", "--http", "here"], /--http: expected HOST:PORT/],
    [["--at", "http://127.0.0.1:1", "--allow-changes", "everything"], /--allow-changes: expected operations .* found 'everything'/],
  ] as const) {
    const { code, stderr } = await runCommand(["mcp", ...args]);
    assert.equal(code, 2, stderr);
    assert.match(stderr, words);
  }
});
