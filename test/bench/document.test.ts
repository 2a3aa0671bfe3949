// What benches write for others to read: the document's schema, guards, judging message by message, comparing runs, the page.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, mock, test } from "node:test";
import { changeOf, ratioInterval } from "../../bench/compare/bootstrap.ts";
import { stageOf } from "../../bench/overhead/stages.ts";
import { reportPage } from "../../bench/report/page.ts";
import type { ReportDocument } from "../../bench/support/document.ts";
import { NoteReader } from "../../bench/support/note-reader.ts";
import { NoteWriter } from "../../bench/support/notes.ts";
import { Report } from "../../bench/support/report.ts";
import { isMet } from "../../bench/support/target.ts";
import { recoveredAfterMs } from "../../bench/support/timeline.ts";
import { guardsOf, judge } from "../../bench/support/verdict.ts";
import { eventually } from "../support/eventually.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";

function inFolder<Result>(act: (folder: string) => Result): Result {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-bench-test-"));
  const clear = (): void => rmSync(folder, { recursive: true });
  const result = act(folder);
  if (result instanceof Promise) return result.finally(clear) as Result;
  clear();
  return result;
}

/** What a report writes, and the exit code. */
function reported(fill: (report: Report) => void): { readonly document: ReportDocument; readonly code: number } {
  return inFolder((folder) => {
    const file = join(folder, "document.json");
    const report = new Report("trial", { json: file });
    fill(report);
    const said = mock.method(process.stdout, "write", () => true);
    try {
      return { code: report.end(), document: JSON.parse(readFileSync(file, "utf8")) as ReportDocument };
    } finally {
      said.mock.restore();
    }
  });
}

const table = {
  name: "sides",
  title: "Sides",
  columns: { name: "", what: "", perSecond: "messages/s" },
  rows: [
    { name: "a", what: "claim", perSecond: { samples: [3, 1, 2], digits: 0 } },
    { name: "", what: "done", perSecond: { samples: [5], digits: 0 } },
  ],
} as const;

describe("a bench's document", () => {
  test("has a stable schema: every figure with median, range and samples, by table, row and column", () => {
    const { document, code } = reported((report) => {
      report.table(table);
      report.remark("As expected.");
      report.targets({ what: "a / b", found: { samples: [2, 4, 3], digits: 1 }, unit: "", bound: { atLeast: 5 }, aim: 9 });
      report.targets({ what: "c / d", found: { samples: [6], digits: 1 }, unit: "", bound: { atLeast: 5 }, aim: 9 });
      report.targets({ what: "e / f", found: { samples: [2], digits: 1 }, unit: "", bound: { atMost: 5 }, aim: 3 });
      report.gates({ what: "peer / a", found: { samples: [9], digits: 1 }, unit: "", bound: { atLeast: 5 } });
      report.ratio("late / early", { samples: [0.5], digits: 1 }, "less");
      report.guards({ what: "lost", wrong: 0 });
      report.chart({ kind: "bars", title: "Sides", unit: "messages/s", labels: ["a"], series: [{ name: "rate", values: [2] }] });
    });
    assert.equal(code, 0, "a missed target fails nothing without --check");
    assert.deepEqual(Object.keys(document), ["schema", "scenario", "machine", "repeats", "ratios", "figures", "checks", "tables", "remarks", "charts"]);
    assert.deepEqual([document.schema, document.scenario, document.repeats], [1, "trial", 3]);
    assert.deepEqual(Object.keys(document.machine), ["kind", "node", "loadBefore", "loadAfter"]);
    assert.deepEqual(document.figures, {
      "sides/a claim/perSecond": { median: 2, min: 1, max: 3, samples: [3, 1, 2] },
      "sides/a done/perSecond": { median: 5, min: 5, max: 5, samples: [5] },
    });
    assert.deepEqual(document.ratios, {
      "late / early": { median: 0.5, min: 0.5, max: 0.5, samples: [0.5], better: "less" },
      "peer / a": { median: 9, min: 9, max: 9, samples: [9], better: "more" },
      "a / b": { median: 3, min: 2, max: 4, samples: [2, 4, 3], better: "more" },
      "c / d": { median: 6, min: 6, max: 6, samples: [6], better: "more" },
      "e / f": { median: 2, min: 2, max: 2, samples: [2], better: "less" },
    });
    assert.deepEqual(
      document.checks.map(({ kind, what, ok, isShortOfAim }) => [kind, what, ok, isShortOfAim === true]),
      [
        ["guard", "lost", true, false],
        ["gate", "peer / a", true, false],
        ["target", "a / b", false, false],
        ["target", "c / d", true, true],
        ["target", "e / f", true, false],
      ],
    );
  });

  test("with a broken guard fails the run, whatever was asked for", () => {
    const { code, document } = reported((report) => report.guards({ what: "lost", wrong: 2, examples: ["evt-1-5", "evt-1-9"] }));
    assert.equal(code, 1);
    assert.deepEqual(document.checks[0], { kind: "guard", what: "lost", expected: "0", found: "2, evt-1-5, evt-1-9", ok: false });
  });

  test("with a gate that is missed fails the run, too", () => {
    const { code, document } = reported((report) => report.gates({ what: "stalls", found: { samples: [1, 2], digits: 0 }, unit: "", bound: { below: 1 } }));
    assert.equal(code, 1);
    assert.deepEqual(document.checks[0], { kind: "gate", what: "stalls", expected: "below 1", found: "2 (1–2)", ok: false });
  });

  test("makes a page that needs nothing else and that no text in it can break", () => {
    const { document } = reported((report) => report.remark("</script><!-- <script>alert(1)</script>"));
    const page = reportPage([document]);
    assert.match(page, /uPlot/);
    assert.ok(!page.includes("alert(1)</script>"));
    assert.ok(!/<(?:script|link|img)[^>]+(?:src|href)="(?!data:)/.test(page));
    assert.ok(!page.includes("/*{"));
    const [, data = ""] = /<script type="application\/json" id="data">\s*(.*?)\s*<\/script>/s.exec(page) ?? [];
    assert.deepEqual(JSON.parse(data), [document]);
  });
});

describe("the judge of a turn", () => {
  const sent = ["a-evt-1-0", "a-evt-1-1", "a-evt-1-2"].map((messageId, index) => ({
    message: { messageId, headers: {}, body: Buffer.alloc(0) },
    index,
    kind: "first" as const,
  }));
  const bad = { message: { messageId: "a-evt-1-p0", headers: {}, body: Buffer.alloc(0) }, index: -1, kind: "poison" as const };
  const completed = ["accepted", "delivered", "completed"];
  const good = new Map(sent.map(({ message }) => [message.messageId, completed]));
  const all = [{ place: 0 }, { place: 1 }, { place: 2 }];

  test("finds nothing where each was done and settled once, as it should be", () => {
    const outcomes = new Map([...good, ["a-evt-1-p0", ["accepted", "delivered", "deadLettered"]]]);
    assert.deepEqual(judge({ sent: [...sent, bad], outcomes, done: all }), { sent: 4, lost: [], wrong: [], twice: [] });
    assert.ok(guardsOf("x", [judge({ sent, outcomes: good, done: all })]).every(({ wrong }) => wrong === 0));
  });

  test("finds by id what is not settled, what was completed unworked, what ended otherwise, and what was done twice", () => {
    const outcomes = new Map(good).set("a-evt-1-1", ["accepted", "delivered"]);
    assert.deepEqual(judge({ sent, outcomes, done: all }).lost, ["a-evt-1-1"]);
    assert.deepEqual(judge({ sent, outcomes: good, done: [{ place: 0 }, { place: 2 }] }).lost, ["a-evt-1-1"]);
    const dead = new Map(good).set("a-evt-1-2", ["accepted", "delivered", "deadLettered"]);
    assert.deepEqual(judge({ sent, outcomes: dead, done: all }).wrong, ["a-evt-1-2"]);
    assert.deepEqual(judge({ sent: [bad], outcomes: new Map([["a-evt-1-p0", completed]]), done: [] }).wrong, ["a-evt-1-p0"]);
    const verdict = judge({ sent, outcomes: good, done: [...all, { place: 0 }] });
    assert.deepEqual(verdict.twice, ["a-evt-1-0"]);
    assert.deepEqual(
      guardsOf("x", [verdict]).map(({ wrong }) => wrong),
      [0, 0, 1],
    );
  });
});

test("notes are read as they come, in order, by the clock that processes share", () =>
  inFolder(async (folder) => {
    const file = join(folder, "notes");
    const reader = new NoteReader(file);
    assert.deepEqual(reader.next(), []);
    const atOnce = new NoteWriter(file, true);
    atOnce.note(7);
    assert.equal(reader.next()[0]?.place, 7);
    const held = new NoteWriter(file, false);
    for (let place = 0; place < 10_000; place += 1) held.note(place);
    await eventually("the rest", () => {
      reader.next();
      return reader.all.length === 10_001;
    });
    assert.deepEqual(
      reader.all.slice(1).map(({ place }) => place),
      Array.from({ length: 10_000 }, (_, place) => place),
    );
    assert.ok(reader.all.every(({ atMs }, index) => index === 0 || atMs >= reader.all[index - 1]!.atMs));
  }));

test("recovery is the first half second after the fault in which nearly as many end as before it", () => {
  const steady = (fromMs: number, toMs: number) => Array.from({ length: (toMs - fromMs) / 10 }, (_, index) => ({ place: index, atMs: fromMs + index * 10 }));
  const ended = [...steady(0, 1_000), ...steady(3_200, 5_000)];
  const back = recoveredAfterMs(ended, { fromMs: 0, toMs: 1_000 }, 2_000);
  assert.ok(back !== undefined && back >= 1_100 && back <= 1_200, `found ${back}`);
  assert.equal(recoveredAfterMs(steady(0, 1_000), { fromMs: 0, toMs: 1_000 }, 2_000), undefined);
});

test("what a profile shows belongs to a stage by where its code lies", () => {
  const stage = (url: string, functionName = "run") => stageOf({ functionName, url });
  assert.equal(stage("file:///x/runtime/amqp/views.ts"), "AMQP");
  assert.equal(stage("file:///x/node_modules/ioredis/built/Redis.js"), "store client");
  assert.equal(stage("file:///x/runtime/pipeline/settle.ts"), "pipeline and policy");
  assert.equal(stage("node:net"), "sockets and timers");
  assert.equal(stage("", "(garbage collector)"), "garbage collection");
  assert.equal(stage("", "(idle)"), undefined);
});

test("what was not measured in one of the rounds meets no bound", () => {
  const isMetBy = (samples: readonly number[]): boolean => isMet({ what: "late", found: { samples, digits: 0 }, unit: "ms", bound: { atMost: 5 } });
  assert.deepEqual([[1, 1, 1], [Number.NaN, 1, 1], [1, 1, Number.NaN], []].map(isMetBy), [true, false, false, false]);
});

describe("comparing runs", () => {
  const spread = (center: number, seed: number, count = 7) => {
    const random = seededRandom(seed);
    return Array.from({ length: count }, () => center * (0.95 + random() * 0.1));
  };
  const changeFrom = (before: readonly number[], after: readonly number[]) => changeOf(before, after, ratioInterval(before, after, seededRandom(9)), 0.02);

  test("tells a change from noise", () => {
    assert.equal(changeFrom(spread(3, 1), spread(2.4, 2)), "less");
    assert.equal(changeFrom(spread(3, 1), spread(3.6, 2)), "more");
    assert.equal(changeFrom(spread(3, 1), spread(3.03, 3)), "same");
    assert.equal(changeFrom([3, 3], [2, 2]), "too few samples");
    assert.equal(changeOf([3, 3, 3], [2.5, 2.5, 2.5], ratioInterval([3, 3, 3], [2.5, 2.5, 2.5], seededRandom(9)), 0.25), "same", "so much is tolerated");
  });

  test("is refused with a baseline of another kind of machine, before anything is run", () => {
    inFolder((folder) => {
      const { document } = reported((report) => report.ratio("rate", { samples: [1], digits: 2 }));
      const file = join(folder, "baseline.json");
      writeFileSync(file, JSON.stringify({ ...document, machine: { ...document.machine, kind: "plan9 mips, 1 cores" } }));
      const main = resolve(import.meta.dirname, "../../bench/main.ts");
      const { status, stderr } = spawnSync(process.execPath, [main, "baseline", "--file", file], { encoding: "utf8" });
      assert.notEqual(status, 0);
      assert.match(stderr, /expected a run of this kind of machine \(\w+ \w+, \d+ cores\), found one of plan9 mips, 1 cores; save one here with --save/);
    });
  });

  test("ends with 1 for what became worse, whichever way that is, and says what is wrong with a file", () => {
    inFolder((folder) => {
      const documentWith = (name: string, rate: readonly number[], late: readonly number[]): string => {
        const { document } = reported((report) => {
          report.ratio("rate", { samples: rate, digits: 2 });
          report.ratio("late", { samples: late, digits: 2 }, "less");
        });
        const file = join(folder, name);
        writeFileSync(file, JSON.stringify(name === "all.json" ? { schema: 1, scenarios: [document] } : document));
        return file;
      };
      const main = resolve(import.meta.dirname, "../../bench/main.ts");
      const compared = (...files: readonly string[]) => {
        const { status, stdout, stderr } = spawnSync(process.execPath, [main, "compare", ...files], { encoding: "utf8" });
        return { status, text: stdout + stderr };
      };
      const before = documentWith("before.json", spread(3, 1), spread(1, 2));
      assert.deepEqual(compared(before, documentWith("all.json", spread(3, 4), spread(0.7, 5))).status, 0);
      const worse = compared(before, documentWith("worse.json", spread(3, 4), spread(1.5, 5)));
      assert.equal(worse.status, 1);
      assert.match(worse.text, /trial: late.*WORSE/);
      const lost = compared(before, documentWith("lost.json", spread(3, 4), [1, Number.NaN, 1]));
      assert.equal(lost.status, 1, "what was measured, and is not any more, is not better");
      assert.match(lost.text, /trial: late.*WORSE: not measured/);
      const none = documentWith("none.json", spread(3, 4), [Number.NaN, Number.NaN, Number.NaN]);
      assert.equal(compared(none, before).status, 0);
      for (const [text, found] of [
        ["null", "with schema 1, found null"],
        ["{}", "with schema 1, found schema undefined"],
        ["{", ".*, found .*JSON.*"],
      ] as const) {
        writeFileSync(join(folder, "other.json"), text);
        const refused = compared(before, join(folder, "other.json"));
        assert.equal(refused.status, 2);
        assert.match(
          refused.text,
          new RegExp(
            `^holdfast: .*other\\.json: expected the JSON of a bench.*${found.replace(/^\.\*/, "")}; make one with 'npm run bench -- all --out FOLDER'\n$`,
          ),
        );
      }
    });
  });
});
