// What is written in place of ioredis is what it would have written.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Command } from "ioredis";
import * as fc from "fast-check";
import { scriptCall } from "#runtime/adapters/redis/script-call.ts";

const script = { name: "one", source: "return 1", sha: "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" };

function asWritten(written: string | Buffer | undefined): string | undefined {
  return written === undefined ? undefined : Buffer.from(written as string).toString("latin1");
}

const ascii = fc.string({ unit: fc.integer({ min: 0, max: 127 }).map((unit) => String.fromCharCode(unit)) });
const bytes = fc.uint8Array().map((array) => Buffer.from(array));

test("a script is called in the bytes that ioredis has for it", () => {
  fc.assert(
    fc.property(fc.array(ascii), fc.array(fc.oneof(ascii, bytes)), (keys, args) => {
      const command = new Command("evalsha", [script.sha, keys.length, ...keys, ...args]);
      assert.equal(asWritten(scriptCall(script, keys, args)?.toWritable({})), asWritten(command.toWritable({})));
    }),
  );
});

test("keys that begin alike are written as they are in whole", () => {
  fc.assert(
    fc.property(fc.array(ascii), ascii, fc.array(ascii), fc.array(ascii), (keys, prefix, ends, args) => {
      const whole = scriptCall(script, [...keys, ...ends.map((end) => prefix + end)], args);
      const call = scriptCall(script, keys, args, { prefix, ends });
      assert.equal(asWritten(call?.toWritable({})), asWritten(whole?.toWritable({})));
      assert.deepEqual(call?.getKeys(), whole?.getKeys());
    }),
  );
});

test("what is no short ASCII text is left to ioredis", () => {
  assert.equal(scriptCall(script, ["key"], ["käse"]), undefined);
  assert.equal(scriptCall(script, ["schlüssel"], []), undefined);
  for (const other of ["é", "€", "\u{1f600}", "\ud800"])
    for (let length = 0; length < 40; length += 1) assert.equal(scriptCall(script, [], [`${"x".repeat(length)}${other}`]), undefined);
  assert.equal(scriptCall(script, ["key"], ["x".repeat(10_000)]), undefined);
  assert.notEqual(scriptCall(script, ["key"], ["x".repeat(9_999)]), undefined);
});

test("the first key tells a cluster where the call belongs", () => {
  assert.deepEqual(scriptCall(script, ["a{tag}", "b{tag}"], ["x"])?.getKeys(), ["a{tag}"]);
  assert.deepEqual(scriptCall(script, [], ["x"])?.getKeys(), []);
});
