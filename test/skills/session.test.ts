// The session of a run inside a thread: what it was left, and what it leaves.
import { strict as assert } from "node:assert";
import { describe, type TestContext, test } from "node:test";
import { type SkillContext, defineSkill } from "../../runtime/index.ts";
import { sessionStateBytesMax } from "../../runtime/skills/host/run-session.ts";
import { envelope } from "../support/event-messages.ts";
import { type HostBundle, makeHost } from "./host.ts";

const inSession = { sessionId: "tenant-7" };
const bytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));

async function hostOf(t: TestContext, run: (context: SkillContext) => unknown): Promise<HostBundle> {
  return makeHost(t, [defineSkill({ name: "test", handles: [{ eventType: envelope.eventType }], run })]);
}

/** What the run leaves, as text; undefined for nothing, null when it takes the state away. */
async function leftBy(host: HostBundle, order = inSession): Promise<string | null | undefined> {
  const { answer } = await host.run(order);
  assert.equal(answer.kind, "completed", JSON.stringify(answer));
  const left = answer.kind === "completed" ? answer.sessionState : undefined;
  return left instanceof Uint8Array ? Buffer.from(left).toString() : left;
}

async function failureOf(host: HostBundle): Promise<{ readonly code: string; readonly message: string; readonly retryable: boolean | undefined }> {
  const { answer } = await host.run(inSession);
  assert.ok(answer.kind === "failed", `expected a failure, found ${answer.kind}`);
  return { ...answer.failure, retryable: answer.retryable };
}

describe("a run's session", () => {
  test("has its id, and its state is asked for when it is first used, once", async (t) => {
    const seen: unknown[] = [];
    const host = await hostOf(t, async ({ session }) => {
      seen.push(session?.id);
      if (seen.length === 1) return;
      seen.push(await session?.getState<{ count: number }>(), await session?.getState());
    });
    host.state = bytes({ count: 3 });
    assert.equal(await leftBy(host), undefined);
    assert.equal(host.stateAsks, 0);
    await leftBy(host);
    assert.deepEqual([seen, host.stateAsks], [["tenant-7", "tenant-7", { count: 3 }, { count: 3 }], 1]);
  });

  test("is not there for a message without one", async (t) => {
    const host = await hostOf(t, ({ session }) => assert.equal(session, undefined));
    assert.equal((await host.run()).answer.kind, "completed");
  });

  test("is left what was set last, which is what it reads from then on", async (t) => {
    const host = await hostOf(t, async ({ session }) => {
      session?.setState({ count: 1 });
      const { count = 0 } = (await session?.getState<{ count: number }>()) ?? {};
      session?.setState({ count: count + 1 });
    });
    assert.equal(await leftBy(host), '{"count":2}');
    assert.equal(host.stateAsks, 0);
  });

  test("has no state before one is set, and none after it was taken away", async (t) => {
    const host = await hostOf(t, async ({ session }) => {
      assert.equal(await session?.getState(), undefined);
      session?.setState(undefined);
      assert.equal(await session?.getState(), undefined);
    });
    assert.equal(await leftBy(host), null);
    host.state = bytes(null);
    assert.equal(await leftBy(host), null);
  });

  test("refuses a state that is too large, and says the limit", async (t) => {
    const host = await hostOf(t, ({ session }) => session?.setState("x".repeat(sessionStateBytesMax - 1)));
    const { code, message } = await failureOf(host);
    assert.equal(code, "SESSION_STATE_TOO_LARGE");
    assert.match(message, /^session\.setState: expected at most 262144 bytes of JSON, got 262145; /);
    const fitting = await hostOf(t, ({ session }) => session?.setState("x".repeat(sessionStateBytesMax - 2)));
    assert.equal((await leftBy(fitting))?.length, sessionStateBytesMax);
  });

  test("refuses what is no JSON, in either direction, and what is set inside of a step", async (t) => {
    const set = await hostOf(t, ({ session }) => session?.setState({ at: 10n }));
    assert.match((await failureOf(set)).message, /session\.setState\.at: expected a value of JSON/);
    const read = await hostOf(t, ({ session }) => session?.getState());
    read.state = Buffer.from([0xff, 0x00]);
    assert.equal((await failureOf(read)).code, "SESSION_STATE_UNREADABLE");
    const inside = await hostOf(t, (context) => context.step("one", () => context.session?.setState(1)));
    assert.match((await failureOf(inside)).message, /expected no step to be open, found 'one'/);
  });

  test("fails for now when the broker does not give its state", async (t) => {
    const host = await hostOf(t, ({ session }) => session?.getState());
    host.state = undefined;
    const { code, retryable } = await failureOf(host);
    assert.deepEqual([code, retryable], ["SESSION_STATE_UNAVAILABLE", true]);
  });
});
