// What a stub of an HTTP dependency takes and gives is what the worker's own client would send and hear.
import { strict as assert } from "node:assert";
import { createServer, type IncomingMessage } from "node:http";
import { test } from "node:test";
import { type Dependency, defineDependency, defineSkill, type HttpRequest, type Skill, type SkillContext } from "#runtime/index.ts";
import { stub, testSkill } from "#runtime/testing/index.ts";
import { envelope } from "../support/event-messages.ts";
import { makeHost } from "../skills/host.ts";

const retry = { attemptsMax: 1 };
const local = defineDependency({ name: "local", retry, request: async (request: { readonly text: string; readonly told?: () => void }) => request.text });

const skillOf = (api: Dependency<HttpRequest>, run: (context: SkillContext) => unknown): Skill =>
  defineSkill({ name: "caller", handles: [{ eventType: envelope.eventType }], uses: [api, local], retry, run });
const stubbed = defineDependency({ name: "api", baseUrl: "http://127.0.0.1:1", retry });

/** Each is refused before it is sent. */
const refused: readonly (readonly [what: string, request: object, message: RegExp])[] = [
  ["a path without its slash", { method: "GET", path: "orders" }, /expected a path that begins with '\/', got "orders"/],
  ["a path with a space", { method: "GET", path: "/orders/of Ada" }, /expected a path of characters that a URL may hold, got "\/orders\/of Ada"/],
  ["a path with letters beyond Latin", { method: "GET", path: "/orders/漢" }, /encodeURIComponent/],
  ["no method", { path: "/orders" }, /expected a method of HTTP, got undefined/],
  ["a method of two words", { method: "GET IT", path: "/orders" }, /expected a method of HTTP, got "GET IT"/],
  ["a body with a bigint", { method: "POST", path: "/orders", body: { total: 1n } }, /expected a body that JSON can say/],
  ["a header with a line break", { method: "GET", path: "/", headers: { note: "a\nb" } }, /expected headers\.note to be one line of text/],
  ["a header that is no text", { method: "GET", path: "/", headers: { note: { a: 1 } } }, /expected headers\.note to be one line of text/],
  ["a header with a name of two words", { method: "GET", path: "/", headers: { "a b": "c" } }, /expected headers to have names of HTTP, got "a b"/],
];

for (const [what, request, message] of refused) {
  test(`a call with ${what} fails in a test as in a worker`, async (t) => {
    const skill = skillOf(stubbed, (context) => context.call(stubbed, request as HttpRequest));
    const inTest = await testSkill(skill, { event: envelope, dependencies: [stub(stubbed, { status: 200 })] });
    assert.deepEqual([inTest.outcome, inTest.reason, inTest.calls], ["dead-lettered", "CALL_INVALID", []]);
    assert.match(inTest.description, message);
    const { answer } = await (await makeHost(t, [skill])).run();
    assert.ok(answer.kind === "failed");
    assert.deepEqual([answer.failure.code, answer.retryable], ["CALL_INVALID", false]);
    assert.match(answer.failure.message, message);
  });
}

test("a stub's body is read by the skill as a worker's client would read it, afresh each time", async (t) => {
  const body = { at: new Date(0), none: undefined, list: [1, 2] };
  const server = createServer((_request: IncomingMessage, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const seen: unknown[] = [];
  const run = async (context: SkillContext): Promise<void> => {
    for (const path of ["/a", "/b"]) {
      const answer = (await context.call(api, { method: "GET", path })).body as { readonly list: number[] };
      seen.push(structuredClone(answer));
      answer.list.pop();
    }
  };
  const api = defineDependency({ name: "api", baseUrl: `http://127.0.0.1:${(server.address() as { readonly port: number }).port}`, retry });
  const skill = skillOf(api, run);
  assert.equal((await testSkill(skill, { event: envelope, dependencies: [stub(api, { body })] })).outcome, "completed");
  assert.equal((await (await makeHost(t, [skill])).run()).answer.kind, "completed");
  const read = { at: "1970-01-01T00:00:00.000Z", list: [1, 2] };
  assert.deepEqual(seen, [read, read, read, read]);
  assert.deepEqual(body.list, [1, 2]);
});

test("a stub's body that no service could send ends the test, and says so", async () => {
  const skill = skillOf(stubbed, (context) => context.call(stubbed, { method: "GET", path: "/a" }));
  await assert.rejects(
    testSkill(skill, { event: envelope, dependencies: [stub(stubbed, { body: { total: 1n } })] }),
    /'api': expected a stub whose body JSON can say, found: .*BigInt/,
  );
});

test("a request that cannot be copied, as one with a function in it, is answered all the same", async () => {
  const told = (): void => undefined;
  const skill = skillOf(stubbed, (context) => context.call(local, { text: "a", told }));
  const { outcome, calls } = await testSkill(skill, { event: envelope, dependencies: [stub(local, "b")] });
  assert.deepEqual([outcome, calls[0]?.request, calls[0]?.response], ["completed", { text: "a", told }, "b"]);
});
