// `bench -- all` as a whole: what it keeps, what it runs, and that planted faults fail a run.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { collect, readCollected } from "../../bench/report/collected.ts";
import { makeDocument, MachineWatch, type ReportDocument } from "../../bench/support/document.ts";
import { longTest } from "../support/long.ts";

const main = resolve(import.meta.dirname, "../../bench/main.ts");

async function bench(...parameters: readonly string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(process.execPath, [main, ...parameters], { stdio: ["ignore", "pipe", "pipe"] });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => parts.push(part));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, said: Buffer.concat(parts).toString() };
}

function documentOf(scenario: string, wrong: number): ReportDocument {
  const guards = [{ what: "lost", wrong }];
  return makeDocument({ scenario, machine: new MachineWatch(), parts: [], targets: [], gates: [], guards, charts: [], ratios: new Map() });
}

async function inFolder(act: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-all-test-"));
  try {
    await act(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe("bench -- all", () => {
  test("run on does not run again what is there and held, and writes page and results of all", () =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, "results.json"), JSON.stringify(collect(["soak", "peers"].map((name) => documentOf(name, 0)))));
      const { code, said } = await bench("all", "--continue", "--only", "peers,soak", "--out", folder);
      assert.equal(code, 0, said);
      assert.match(said, /^peers +kept +guards and gates held$/m);
      assert.deepEqual(
        readCollected(join(folder, "results.json")).map(({ scenario }) => scenario),
        ["peers", "soak"],
      );
      assert.ok(existsSync(join(folder, "results.html")));
    }));

  longTest("runs a scenario that had found something wrong once more, and keeps what others have found", () =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, "results.json"), JSON.stringify(collect([documentOf("settlement", 3), documentOf("soak", 0)])));
      const { code, said } = await bench("all", "--continue", "--quick", "--only", "settlement", "--out", folder);
      assert.equal(code, 0, said);
      const documents = readCollected(join(folder, "results.json"));
      assert.deepEqual(
        documents.map(({ scenario, checks }) => [scenario, checks.every(({ ok }) => ok)]),
        [
          ["settlement", true],
          ["soak", true],
        ],
      );
      assert.match(readFileSync(join(folder, "results.html"), "utf8"), /ended otherwise/);
    }),
  );
});

/** What each scenario is told, so that it is short; and which of its guards must break. */
const planted: readonly (readonly [parameters: readonly string[], fault: string, broken: RegExp])[] = [
  [["peers", "--only", "holdfast", "--handlers", "no-op", "--rounds", "1", "--seconds", "1"], "lost", /: lost +│ 1: .*BROKEN/],
  [["peers", "--only", "holdfast", "--handlers", "no-op", "--rounds", "1", "--seconds", "1"], "wrong", /: settled wrong +│ 1: .*BROKEN/],
  [["peers", "--only", "holdfast", "--handlers", "no-op", "--rounds", "1", "--seconds", "1"], "twice", /: done twice +│ 1: .*BROKEN/],
  [["faults", "--quick", "--plans", "worker-killed"], "twice", /worker-killed: done twice +│ 1 .*BROKEN/],
  [["settlement", "--messages", "5000"], "wrong", /amqp: messages that ended otherwise +│ 1 .*BROKEN/],
  [["store", "--quick", "--batches", "2", "--fill", "20000"], "twice", /not known as done +│ 1: .*BROKEN/],
];

describe("a fault that is planted", () => {
  for (const [parameters, fault, broken] of planted) {
    longTest(`fails ${parameters[0]}: ${fault}`, async () => {
      const { code, said } = await bench(...parameters, "--plant", fault);
      assert.equal(code, 1, said);
      assert.match(said, broken);
    });
  }
});
