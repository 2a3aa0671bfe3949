import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { redact, redactValue } from "../../runtime/core/redact.ts";

test("what looks like a secret inside a text is masked", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey=abc+/=", "Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey=[redacted]"],
    ["SharedAccessSignature sr=x&sig=a%2Fb%3D&se=1", "SharedAccessSignature sr=x&sig=[redacted]&se=1"],
    ["authorization: Bearer eyJhbGciOi.J9.x_-", "authorization: Bearer [redacted]"],
    ["redis://user:hunter2@host:6379/0", "redis://user:[redacted]@host:6379/0"],
    ['{"client_secret":"s3cret","a":1}', '{"client_secret":"[redacted]","a":1}'],
    ["expected 3 tokens, the order has 4", "expected 3 tokens, the order has 4"],
  ];
  for (const [text, expected] of cases) assert.equal(redact(text), expected);
});

test("fields named like secrets are masked at any depth, and the rest is cut to size", () => {
  const value = { user: "a", password: "p", nested: [{ apiKey: "k", "X-Authorization": "t", at: 1 }], bytes: new Uint8Array(3), error: new Error("pwd=x"), big: 5n };
  assert.deepEqual(redactValue(value), {
    user: "a",
    password: "[redacted]",
    nested: [{ apiKey: "[redacted]", "X-Authorization": "[redacted]", at: 1 }],
    bytes: "[3 bytes]",
    error: { name: "Error", message: "pwd=[redacted]" },
    big: "5",
  });
  const cyclic: Record<string, unknown> = {};
  cyclic["self"] = cyclic;
  assert.match(JSON.stringify(redactValue(cyclic)), /\[deep\]/);
  assert.equal((redactValue("x".repeat(5_000)) as string).length, 1_001);
});

test("no text takes long to redact", () => {
  const startMs = performance.now();
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a.", "://", ":", "@", "sig=", "Bearer ", "x", " "), { maxLength: 400 }), (parts) => {
      redact(parts.join(""));
    }),
    { numRuns: 300 },
  );
  redact("a.".repeat(50_000));
  assert.ok(performance.now() - startMs < 5_000);
});
