import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { messageOf } from "../../runtime/core/errors.ts";
import { hideFromNowOn, redact, redactValue, secretKinds } from "../../runtime/core/redact.ts";

describe("masked inside a text", () => {
  for (const { kind, example, shown } of secretKinds) {
    test(kind, () => {
      assert.equal(redact(example), shown);
      assert.equal(redact(redact(example)), redact(example), "what is masked stays as it is");
    });
  }
});

test("what looks like a secret inside a text is masked", () => {
  const pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----";
  const cases: readonly (readonly [string, string])[] = [
    ["Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey=abc+/=", "Endpoint=sb://x/;SharedAccessKeyName=k;SharedAccessKey=[redacted]"],
    ["SharedAccessSignature sr=x&sig=a%2Fb%3D&se=1", "SharedAccessSignature sr=x&sig=[redacted]&se=1"],
    ["authorization: Bearer eyJhbGciOi.J9.x_-", "authorization: [redacted]"],
    ["redis://user:hunter2@host:6379/0", "redis://user:[redacted]@host:6379/0"],
    ["rediss://:a/b?c@host and amqp://u:p@h1,amqp://u:p@h2", "rediss://:[redacted]@host and amqp://u:[redacted]@h1,amqp://u:[redacted]@h2"],
    ["GET http://localhost:4873/@scope/package", "GET http://localhost:4873/@scope/package"],
    ['{"client_secret":"s3cret","a":1}', '{"client_secret":[redacted],"a":1}'],
    [String.raw`body {\"password\":\"x y\",\"n\":1}`, String.raw`body {\"password\":[redacted],\"n\":1}`],
    ['password: "a \\" b", next', "password: [redacted], next"],
    [`first ${pem} then ${pem}`, "first -----BEGIN RSA PRIVATE KEY-----[redacted] then -----BEGIN RSA PRIVATE KEY-----[redacted]"],
    [pem.slice(0, 45), "-----BEGIN RSA PRIVATE KEY-----[redacted]"],
    ['{"error":"token=abc123 is bad"}', '{"error":"token=[redacted] is bad"}'],
    ["Set-Cookie: a=b; HttpOnly", "Set-Cookie: [redacted]"],
    ["expected 3 tokens, the order has 4", "expected 3 tokens, the order has 4"],
    ["serviceBus.connectionString: expected text, got nothing", "serviceBus.connectionString: expected text, got nothing"],
    ["exit code=1, sk-learn, request key: 5", "exit code=1, sk-learn, request key: 5"],
  ];
  for (const [text, expected] of cases) assert.equal(redact(text), expected);
});

test("a secret on the edge of what is shown is masked, not cut to a shape that nobody knows", () => {
  const text = `${"x ".repeat(495)} ghp_0000000000EXAMPLE0000`;
  assert.doesNotMatch(redact(text, 1_000), /ghp_/);
  assert.doesNotMatch(messageOf(new Error(text)), /ghp_/);
  assert.equal(redact("a".repeat(2_000), 1_000).length, 1_001);
});

test("fields named like secrets are masked at any depth, and the rest is cut to size", () => {
  const value = {
    user: "a",
    password: "p",
    pwd: "p",
    nested: [{ apiKey: "k", "X-Authorization": "t", "Set-Cookie": "c", at: 1 }],
    bytes: new Uint8Array(3),
    error: new Error("pwd=x"),
    big: 5n,
  };
  assert.deepEqual(redactValue(value), {
    user: "a",
    password: "[redacted]",
    pwd: "[redacted]",
    nested: [{ apiKey: "[redacted]", "X-Authorization": "[redacted]", "Set-Cookie": "[redacted]", at: 1 }],
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
    fc.property(
      fc.array(fc.constantFrom("a.", "://", ":", "@", "sig=", "Bearer ", "x", " ", "eyJ", "-----BEGIN A-----", '"', "\\", "pwd="), { maxLength: 400 }),
      (parts) => {
        redact(parts.join(""));
      },
    ),
    { numRuns: 300 },
  );
  assert.ok(performance.now() - startMs < 5_000);
});

test("hostile texts of 64 KB take time in proportion to their length", () => {
  const bytes = 64 * 1024;
  const pieces = [
    "a.",
    "a",
    "=",
    " ",
    "a:",
    "a=",
    "x-",
    "-eyJ",
    "eyJaaaaaaaaaaaaaaaa.",
    ".",
    "://",
    "a://",
    "a://b:",
    "a://b:c@",
    "a://b:1/",
    "@",
    "-----BEGIN A-----",
    "-----BEGIN A-----a-----END ",
    "Bearer ",
    "Bearer",
    "Cookie:",
    "cookie: ",
    "ghp_",
    "-ghp_",
    "sk-",
    "-sk-a",
    "xox",
    "AKIA",
    "A+",
    "AAAA=",
    "8Q~",
    "abc8Q~",
    "?code=",
    "&sig",
    '"',
    "'",
    "\\",
    '\\"',
    'a="',
    "a='\\",
    "pwd=",
    'pwd="',
    "pwd : ",
    "pwd \t",
    "[redacted]",
    "secret",
    "secret.",
    "api key ",
    "pass",
    'secret=\\"',
  ];
  for (const piece of pieces) {
    const text = piece.repeat(Math.ceil(bytes / piece.length));
    // Of the processor, which others may have meanwhile.
    const before = process.cpuUsage();
    redact(text);
    const { user, system } = process.cpuUsage(before);
    const tookMs = (user + system) / 1_000;
    assert.ok(tookMs < 500, `${JSON.stringify(piece)} took ${tookMs} ms`);
  }
});

test("the words behind an error's name are no secret", () => {
  const text = "CredentialUnavailableError: Studio Code is not available; AuthorizationException: no right";
  assert.equal(redact(text), text);
  assert.equal(redact("credential: abc123"), "credential: [redacted]");
});

test("of known secrets that begin alike nothing is left, nor of one that is longer than what is shown", () => {
  hideFromNowOn("zebra-crossing");
  hideFromNowOn("zebra-crossing-at-noon");
  assert.equal(redact("tried zebra-crossing-at-noon and zebra-crossing"), "tried [redacted] and [redacted]");
  const long = `quagga${"0123456789".repeat(300)}`;
  hideFromNowOn(long);
  assert.equal(redact(`tried ${long}`, 100), "tried [redacted]…");
  assert.doesNotMatch(redact(`${long} `.repeat(5), 100), /quagga/);
  assert.equal(redact("a".repeat(9_000), 1_000), `${"a".repeat(1_000)}…`);
});
