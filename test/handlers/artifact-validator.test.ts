import { strict as assert } from "node:assert";
import { test } from "node:test";
import { artifactValidator } from "#handlers/artifact-validator/index.ts";
import { isSchemaName } from "#handlers/artifact-validator/schemas.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { webhookExamples } from "../support/webhook-examples.ts";

const valid = webhookExamples().find(({ name, event }) => name === "issues" && event["action"] === "opened");

interface Verdict {
  readonly valid: boolean;
  readonly findings: readonly { readonly path: string; readonly expected: string }[];
}

async function verdictOn(schema: string, artifact: unknown): Promise<Verdict> {
  const { emitted } = await testSkill(artifactValidator, { event: { payload: { artifactId: "a-1", schema, artifact } } });
  assert.equal(emitted.length, 1);
  assert.equal(emitted[0]?.eventType, "ArtifactValidated");
  return emitted[0]?.payload as Verdict;
}

test("a valid artifact has no findings", async () => {
  assert.deepEqual(await verdictOn("issues$opened", valid?.event), { artifactId: "a-1", schema: "issues$opened", valid: true, findings: [] });
});

test("an artifact that breaks its schema is a result that says where, not a failure", async () => {
  const issue = { ...(valid?.event["issue"] as object), number: "four" };
  const verdict = await verdictOn("issues$opened", { ...valid?.event, issue });
  assert.equal(verdict.valid, false);
  assert.deepEqual(verdict.findings, [{ path: "/issue/number", expected: "must be integer" }]);
});

test("findings are bounded", async () => {
  const verdict = await verdictOn("issues$opened", { action: "opened", issue: {}, repository: {}, sender: {} });
  assert.equal(verdict.findings.length, 20);
});

test("a schema that does not exist is a failure for good", async () => {
  for (const schema of ["issues$vanished", "__proto__"]) {
    const { outcome, reason } = await testSkill(artifactValidator, { event: { payload: { artifactId: "a-1", schema, artifact: {} } } });
    assert.deepEqual([outcome, reason], ["dead-lettered", "UNKNOWN_SCHEMA"]);
  }
});

test("every example has a schema, and most meet it", async () => {
  let met = 0;
  const examples = webhookExamples();
  for (const { name, event } of examples) {
    const withAction = `${name}$${String(event["action"])}`;
    if ((await verdictOn(isSchemaName(withAction) ? withAction : `${name}$event`, event)).valid) met++;
  }
  assert.ok(met > examples.length * 0.75, `expected most of ${examples.length} to be valid, got ${met}`);
});
