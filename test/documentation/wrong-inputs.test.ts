// What a person sees of a wrong input: what was expected, what was found, and in which key, definition, step or field; on one line, of a
// length that is read, and without a stack or a secret.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type WrongInput, wrongInputs } from "../support/wrong-inputs.ts";

const charactersMax = 300;

for (const { kind, what, shown, says } of wrongInputs) {
  test(`${kind}: ${what}`, async (t) => {
    const text = await shown(t);
    assert.match(text, says);
    assert.ok(text.length <= charactersMax, `expected at most ${charactersMax} characters, found ${text.length}: ${text}`);
    assert.doesNotMatch(text, /\n|\bat .*:\d+:\d+|s3cret|\[object Object\]|\bundefined is not\b/);
  });
}

test("there are forty, and some of each kind", () => {
  const count = (wanted: WrongInput["kind"]): number => wrongInputs.filter(({ kind }) => kind === wanted).length;
  assert.ok(wrongInputs.length >= 40);
  for (const kind of ["configuration", "plugin", "skill", "message"] as const) assert.ok(count(kind) >= 10, kind);
});
