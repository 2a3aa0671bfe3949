// A drill that is interrupted leaves no process behind.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { text } from "node:stream/consumers";

const file = resolve(import.meta.dirname, "../../bench/support/end-together.ts");
/** Children of their own group that hear no SIGTERM; one of them stands still. They hold the pipe open until they are gone. */
const script = `
  import { spawn } from "node:child_process";
  import { endTogether } from ${JSON.stringify(file)};
  endTogether();
  const child = () => spawn("sh", ["-c", "trap '' TERM; exec sleep 60"], { detached: true, stdio: ["ignore", "inherit", "ignore"] });
  const [, frozen] = [child(), child()];
  frozen.kill("SIGSTOP");
  process.once("SIGUSR2", () => { throw new Error("trouble"); });
  setInterval(() => undefined, 60_000);
  process.stdout.write("ready");
`;

/** How it ended, and what it wrote; resolves when nobody holds its pipe any more. */
async function endedBy(signal: NodeJS.Signals): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: ["ignore", "pipe", "pipe"] });
  const said = text(child.stderr);
  await once(child.stdout, "data");
  child.kill(signal);
  const [code] = (await once(child, "close", { signal: AbortSignal.timeout(20_000) })) as [number | null];
  return { code, said: await said };
}

describe("what a drill has started", () => {
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    test(`ends with it at ${signal}`, async () => {
      const ended = await endedBy(signal);
      assert.equal(ended.code, code);
      assert.equal(ended.said, `${signal}: it ends, with the 2 processes that it has started\n`);
    });
  }

  test("ends with it where an error ends it", async () => {
    const { code, said } = await endedBy("SIGUSR2");
    assert.equal(code, 1);
    assert.match(said, /trouble/);
  });
});
