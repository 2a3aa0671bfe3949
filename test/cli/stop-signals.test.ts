// What a second signal says and does, by when it comes. Real signals to real commands: ../end-to-end/stop-signals.test.ts.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const module = import.meta.resolve("#runtime/cli/stop-signals.ts");

/** What is said, and the code, where a second signal comes after `stop` has run this. */
function secondSignal(stop: string): { readonly said: string; readonly code: number | null } {
  const source = `
    import { hasStopped, hearStopSignals, takeOver } from ${JSON.stringify(module)};
    hearStopSignals("stop");
    takeOver({ stop() { ${stop} }, say: (text) => console.log(text) });
    process.emit("SIGTERM");
    process.emit("SIGINT");`;
  const { stdout, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", source], { encoding: "utf8" });
  return { said: stdout.trim(), code: status };
}

test("a second signal during a stop ends it at once, and one after it leaves the code of the stop", () => {
  const during = secondSignal("");
  assert.match(during.said, /delivered again/);
  assert.equal(during.code, 130);
  assert.deepEqual(secondSignal("hasStopped();"), { said: "SIGINT, after SIGTERM: it has stopped in order already, and ends", code: 0 });
  assert.equal(secondSignal("process.exitCode = 75; hasStopped();").code, 75);
});
