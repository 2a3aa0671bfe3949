// The proof that runs against a real namespace runs here against the local broker over TLS; its short form, without what takes seconds.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { isLong } from "../support/long.ts";
import { proveLocally } from "./local.ts";

interface Proof {
  readonly verdicts: readonly { readonly name: string; readonly holds: boolean; readonly expected: object; readonly found: unknown }[];
  readonly left: readonly string[];
}

test("every assumption about Service Bus holds of the local broker over TLS, and nothing is left behind", async () => {
  const { code, output, left } = await proveLocally(isLong ? ["--json"] : ["--json", "--short"], ["ignore", "pipe", "inherit"]);
  const { verdicts, left: named } = JSON.parse(output) as Proof;
  assert.deepEqual(
    verdicts.filter(({ holds }) => !holds),
    [],
  );
  assert.ok(verdicts.length >= (isLong ? 13 : 10));
  assert.deepEqual([code, named, left], [0, [], []]);
});
