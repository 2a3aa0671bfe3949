// What `doctor` finds is what `start` refuses, and what it goes on with in spite of; and it says so in a sentence.
import { strict as assert } from "node:assert";
import { type TestContext, test } from "node:test";
import { type Broker, startBroker } from "#load/broker/broker.ts";
import { checkSurroundings } from "#runtime/cli/checks.ts";
import { diagnose } from "#runtime/cli/doctor.ts";
import type { Finding } from "#runtime/cli/finding.ts";
import { weighed } from "#runtime/cli/weighed.ts";
import { sendingUses } from "#runtime/compose/broker.ts";
import { inOneSentence } from "#runtime/compose/identity.ts";
import { composeSkills, describeSkills } from "#runtime/compose/skills.ts";
import { type Config, parseConfig } from "#runtime/core/config.ts";

const root = `${import.meta.dirname}/../..`;
const nobody = { fullyQualifiedNamespace: "127.0.0.1" };

function configOf(sources: readonly object[], serviceBus: object = nobody): Config {
  return parseConfig({ sources, serviceBus, plugins: ["./handlers/event-dispatcher"], store: { kind: "sqlite", path: ":memory:" } }, "test");
}

async function start(t: TestContext, queues: readonly (string | { readonly name: string; readonly requiresSession: boolean })[]): Promise<Broker> {
  const broker = await startBroker({ entities: { queues: [...queues] } });
  t.after(() => broker.stop());
  return broker;
}

/** Those that are not well, with their verdicts. */
function troubles(findings: readonly Finding[]): string[] {
  return findings.filter(({ verdict }) => verdict !== "ok").map(({ check, verdict }) => `${check}: ${verdict}`);
}

test("a source's unknown skill is found wherever skills are read, in the same words", async (t) => {
  const { connectionString } = await start(t, ["plain"]);
  const config = configOf([{ queue: "plain", skills: ["event-dispatchr"] }], { connectionString });
  const says = /^sources: expected the skills of 'plain' to be among event-dispatcher, found 'event-dispatchr'; did you mean/;
  for (const read of [composeSkills, describeSkills]) await assert.rejects(read(config, root), { name: "ConfigurationError", message: says });
  const failed = (await diagnose(config, root)).filter(({ verdict }) => verdict === "failed");
  assert.deepEqual([failed.length, says.test(failed[0]?.found ?? "")], [1, true]);
});

test("a source that is not there is a warning, and fails where no other one is left", async (t) => {
  const { connectionString } = await start(t, ["input"]);
  const of = (...queues: readonly string[]): Promise<readonly Finding[]> =>
    diagnose(
      configOf(
        queues.map((queue) => ({ queue })),
        { connectionString },
      ),
      root,
    );
  const one = await of("input", "gone");
  assert.deepEqual(troubles(one), ["broker: gone: warning", "send to gone: warning"]);
  for (const { remedy } of one.filter(({ verdict }) => verdict === "warning"))
    assert.match(remedy, /^start goes on with input, and reads gone once it can: (create|check)/);
  assert.deepEqual(troubles(await of("gone", "away")), ["broker: gone: failed", "broker: away: failed", "send to gone: failed", "send to away: failed"]);
});

test("what no time mends fails, whatever else is read", async (t) => {
  const { connectionString } = await start(t, ["input", { name: "ordered", requiresSession: true }]);
  const found = await diagnose(configOf([{ queue: "input" }, { queue: "ordered" }], { connectionString }), root);
  assert.deepEqual(troubles(found), ["sessions of ordered: failed"]);
});

test("copies are said to be sent where they are, and not to a queue of sessions, whose messages wait in place", () => {
  const sessions = {};
  const subscription = { topic: "news", subscription: "audit", retryQueue: "later" };
  const uses = sendingUses(configOf([{ queue: "plain" }, { queue: "ordered", sessions }, { ...subscription, sessions }]));
  const copied = uses.filter(({ what }) => what.startsWith("copies of messages that are retried"));
  assert.deepEqual(
    copied.map(({ entity }) => entity),
    ["plain", "later"],
  );
  // Written to all the same: the right to send is needed there.
  assert.deepEqual(
    uses.filter(({ does }) => does === "send copies").map(({ entity }) => entity),
    ["plain", "ordered", "later"],
  );
});

test("of many sources that are read on, the number is told", () => {
  const sources = Array.from({ length: 8 }, (_, index) => ({ queue: `q${index}` }));
  const finding: Finding = { check: "a", verdict: "failed", expected: "b", found: "c", remedy: "d", awaits: "q0" };
  assert.match(weighed([finding], configOf(sources))[0]?.remedy ?? "", /^start goes on with 7 other sources, and reads q0 once it can: d$/);
});

test("that there is no Azure identity is said in one sentence, and what is wrong with one that there is, in its own words", async () => {
  const named = (name: string, message: string): Error => Object.assign(new Error(message), { name });
  const chain = (...errors: readonly Error[]): Error => Object.assign(named("AggregateAuthenticationError", "a page of text"), { errors });
  const saying = (error: Error): Promise<unknown> =>
    inOneSentence({
      async getToken() {
        throw error;
      },
    }).getToken("all");
  const none = named("CredentialUnavailableError", "none");
  const sentence = /^no Azure identity to log in with: run `az login`, give the workload an identity, or name a connection string$/;
  await assert.rejects(saying(chain(none, none)), { name: "NoIdentityError", message: sentence });
  const refused = chain(none, named("AuthenticationError", "the secret has expired"));
  await assert.rejects(saying(refused), (thrown) => thrown === refused);
});

test("without an Azure identity, entity settings say in one line that they were not checked, and what to do", async (t) => {
  // The one way to an identity that asks nothing of the machine.
  const before = process.env["AZURE_TOKEN_CREDENTIALS"];
  process.env["AZURE_TOKEN_CREDENTIALS"] = "EnvironmentCredential";
  t.after(() => {
    if (before === undefined) delete process.env["AZURE_TOKEN_CREDENTIALS"];
    else process.env["AZURE_TOKEN_CREDENTIALS"] = before;
  });
  const found = await checkSurroundings(configOf([{ queue: "input" }]), root);
  const settings = found.find(({ check }) => check === "entity settings");
  assert.equal(
    settings?.found,
    "not checked, because there is no Azure identity to log in with: run `az login`, give the workload an identity, or name a connection string",
  );
});
