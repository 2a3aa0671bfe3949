import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const guard = new URL("../../runtime/adapters/service-bus/stray-rejections.ts", import.meta.url).href;

/** Runs a process with the guard on that leaves this rejection unhandled. */
async function runWith(rejection: string): Promise<{ readonly code: number | null; readonly said: string }> {
  const script = `import { guardAgainstStrayRejections } from ${JSON.stringify(guard)}; guardAgainstStrayRejections(); guardAgainstStrayRejections(); Promise.reject(${rejection}); setTimeout(() => console.log("went on"), 20);`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "pipe"] });
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said: (await said).join("") };
}

test("outlives what the SDK rejects where nobody can hear it", async () => {
  for (const rejection of [
    'Object.assign(new Error("Unable to close the receiver"), { name: "OperationTimeoutError" })',
    '{ condition: "amqp:link:detach-forced", description: "maintenance" }',
  ]) {
    assert.deepEqual(await runWith(rejection), { code: 0, said: "went on\n" });
  }
});

test("ends the process for every other unhandled rejection, as it would have ended", async () => {
  const { code, said } = await runWith('new RangeError("a defect")');
  assert.notEqual(code, 0);
  assert.match(said, /RangeError: a defect/);
  assert.doesNotMatch(said, /went on/);
});
