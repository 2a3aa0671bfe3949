// `holdfast scale` puts together what the workers of a pool say of themselves.
import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startAdmin } from "../support/admin-world.ts";
import { runCommand } from "../support/holdfast-command.ts";
import { startTokenIssuer } from "../support/token-issuer.ts";

interface Printed {
  readonly workers: number;
  readonly running: number;
  readonly bottlenecks: readonly string[];
}

test("the workers that are named are asked, and how many there should be is told with what is in the way", async (t) => {
  const [one, other] = await Promise.all([startAdmin(), startAdmin()]);
  t.after(() => Promise.all([one.stop(), other.stop()]));
  const idle = await runCommand(["scale", "--at", one.url, "--at", other.url, "--json"]);
  assert.equal(idle.code, 0, idle.stderr);
  const { workers, running, bottlenecks } = JSON.parse(idle.stdout) as Printed;
  assert.deepEqual([workers, running, bottlenecks], [0, 2, []]);
  await one.call("PUT", "/api/v1/circuits/api", { body: { state: "isolated", reason: "a test" } });
  one.seen = { storeUp: false };
  // Averages need time to move; what is wrong is known at once.
  const troubled = await runCommand(["scale", "--at", one.url, "--at", other.url, "--min", "2"]);
  assert.match(troubled.stdout, /^2 workers wanted, 2 running; bottleneck: /);
});

test("a name with addresses of both families is asked once, where somebody listens; where nobody does, the command says so", async (t) => {
  const admin = await startAdmin();
  t.after(() => admin.stop());
  const place = admin.url.replace("127.0.0.1", "localhost");
  const found = await runCommand(["scale", "--at", place, "--json"]);
  assert.equal(found.code, 0, found.stderr);
  assert.equal((JSON.parse(found.stdout) as Printed).running, 1);
  const none = await runCommand(["scale", "--at", "http://localhost:1"]);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /expected the admin server on http:\/\/.*:1 to answer/);
});

test("servers are named on the command line or by a configuration, not by both", async () => {
  const both = ["-c", "holdfast.config.yaml", "--at", "http://127.0.0.1:1"];
  for (const command of ["scale", "probe"]) {
    const refused = await runCommand([command, ...both]);
    assert.equal(refused.code, 2, refused.stderr);
    assert.match(refused.stderr, /expected either --at, for the servers to ask, or -c \(--config\), found both/);
  }
});

test("a worker that asks for a token is shown the one of the file; without one the command says what is wrong", async (t) => {
  const audience = "https://holdfast.example.com";
  const issuer = await startTokenIssuer();
  const admin = await startAdmin({ auth: { issuer: issuer.issuer, audience } });
  const folder = mkdtempSync(join(tmpdir(), "holdfast-scale-"));
  t.after(async () => {
    await admin.stop();
    await issuer.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, "token");
  writeFileSync(file, `${await issuer.token(["holdfast.viewer"], audience)}\n`);
  const [shown, refused] = await Promise.all([
    runCommand(["scale", "--at", admin.url, "--token-file", file, "--json"]),
    runCommand(["scale", "--at", admin.url]),
  ]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.equal((JSON.parse(shown.stdout) as Printed).running, 1);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /expected the admin server on .* to answer, found expected 200, found 401/);
});
