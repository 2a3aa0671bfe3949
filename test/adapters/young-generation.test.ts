import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const root = resolve(import.meta.dirname, "../..");

/** Megabytes of the young generation after so much was made to survive, held and then let go. */
const script = `
  import { getHeapSpaceStatistics } from "node:v8";
  import { holdYoungGeneration, letYoungGenerationGrow } from "#runtime/adapters/system/young-generation.ts";
  const kept = [];
  const fill = () => {
    for (let index = 0; index < 400_000; index += 1) kept.push({ index, text: String(index) });
    return getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size / 1_048_576;
  };
  holdYoungGeneration();
  const held = fill();
  letYoungGenerationGrow();
  console.log(JSON.stringify([held, fill()]));`;

test("the young generation stays small while it is held, whatever survives, and grows with the work after that", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { cwd: root });
  const [heldMb = 0, grownMb = 0] = JSON.parse(stdout) as readonly number[];
  assert.ok(heldMb <= 4, `${heldMb} MB while held`);
  assert.ok(grownMb >= 8, `${grownMb} MB after that`);
});
