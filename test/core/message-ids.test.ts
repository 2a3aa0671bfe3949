import { strict as assert } from "node:assert";
import { hash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { unguessableId } from "#runtime/core/message-ids.ts";

const text = fc.oneof(fc.string({ maxLength: 140 }), fc.string({ unit: "binary", maxLength: 20 }), fc.constantFrom('"', "\\", '","', "\ud800", "\n"));
const part = fc.oneof(text, fc.bigInt(), fc.integer(), fc.double());

test("an id is a code over the secret and its parts as a JSON array of texts: it stays the same from one version to the next", () => {
  fc.assert(
    fc.property(text, text, fc.array(part, { maxLength: 4 }), (secret, name, parts) => {
      const coded = `${secret}\n${JSON.stringify([name, ...parts.map(String)])}`;
      assert.equal(unguessableId(secret, name, ...parts), `${name.slice(0, 105)}~${hash("sha512-256", coded, "base64url").slice(0, 22)}`);
    }),
  );
});
