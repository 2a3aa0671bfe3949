// The report's page in a browser: every chart is drawn, the console is clean, nothing is fetched, in light and in dark.
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { readCollected } from "../../bench/report/collected.ts";
import { reportPage } from "../../bench/report/page.ts";
import { type Chart, MachineWatch, makeDocument, type ReportDocument } from "../../bench/support/document.ts";

const executablePath = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** Where screenshots are left to be looked at. */
const shots = process.env["HOLDFAST_SHOTS"];
/** Points of a chart that must be neither its paper nor its grid. */
const drawnMin = 60;

const charts: readonly Chart[] = [
  {
    kind: "bars",
    title: "Throughput",
    unit: "messages/s",
    labels: ["Holdfast", "subscribe", "bare"],
    series: [{ name: "rate", values: [41_000, 3_000, 28_000] }],
  },
  {
    kind: "bars",
    title: "Cost by stage",
    unit: "µs",
    isStacked: true,
    labels: ["no-op", "steps"],
    series: [
      { name: "AMQP", values: [4, 5] },
      { name: "store", values: [2, 9] },
    ],
  },
  {
    kind: "bars",
    title: "Grouped",
    unit: "%",
    labels: ["1", "2", "4", "8"],
    series: ["a", "b", "c"].map((name, nth) => ({ name, values: [10, 20, 30, 40].map((value) => value + nth) })),
  },
  {
    kind: "lines",
    title: "Latency by percentile",
    unit: "ms",
    isLog: true,
    x: { title: "percentile", isPercentile: true },
    series: [
      {
        name: "Holdfast",
        points: [
          [0, 0.4],
          [50, 1],
          [90, 2],
          [99, 5],
          [99.9, 12],
        ],
      },
      {
        name: "subscribe",
        points: [
          [0, 0.9],
          [50, 3],
          [90, 9],
          [99, 40],
          [99.9, 220],
        ],
      },
    ],
  },
  {
    kind: "lines",
    title: "A fault",
    unit: "events/s",
    x: { title: "seconds" },
    shaded: [{ from: 3, to: 6, title: "store-down" }],
    series: [{ name: "Holdfast", points: Array.from({ length: 40 }, (_, bin) => [bin / 4, bin > 12 && bin < 24 ? 0 : 300] as const) }],
  },
  {
    kind: "lines",
    title: "Growth",
    unit: "µs",
    isLog: true,
    x: { title: "waiting", isLog: true },
    series: [
      {
        name: "cost",
        points: [
          [1_000, 30],
          [10_000, 31],
          [1_000_000, 44],
        ],
      },
    ],
  },
];

function sample(): ReportDocument {
  return makeDocument({
    scenario: "sample",
    machine: new MachineWatch(),
    parts: [
      { name: "t", title: "A table", columns: { name: "", rate: "messages/s" }, rows: [{ name: "a", rate: { samples: [1, 2, 3], digits: 0 } }] },
      "A remark.",
    ],
    targets: [{ what: "a / b", found: { samples: [2], digits: 1 }, unit: "", bound: { atLeast: 3 } }],
    gates: [{ what: "peer / calm", found: { samples: [9], digits: 1 }, unit: "", bound: { atLeast: 3 } }],
    guards: [{ what: "lost", wrong: 0 }],
    charts,
    ratios: new Map(),
  });
}

/** Runs in the page. Series have colours; paper, grid and text are grey. */
const countColored = `[...document.querySelectorAll(".chart")].map((chart) => {
  const canvas = chart.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let colored = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.subarray(at, at + 4);
    if (alpha > 200 && Math.max(red, green, blue) - Math.min(red, green, blue) > 60) colored += 1;
  }
  return { title: chart.querySelector("h3").textContent, colored };
})`;

/** Charts of every kind, made up, and those of HOLDFAST_RESULTS, or of the results that come with the project. */
function documents(): readonly ReportDocument[] {
  return [sample(), ...readCollected(process.env["HOLDFAST_RESULTS"] ?? join(import.meta.dirname, "../../bench/results/results.json"))];
}

describe("the report's page", () => {
  let browser: Browser;
  let folder: string;
  let url: string;

  before(async () => {
    assert.ok(existsSync(executablePath), `expected Chromium at ${executablePath}; install it (Debian: apt-get install chromium) or set CHROMIUM`);
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    folder = mkdtempSync(join(tmpdir(), "holdfast-page-"));
    const file = join(folder, "results.html");
    writeFileSync(file, reportPage(documents()));
    url = pathToFileURL(file).href;
  });
  after(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  for (const scheme of ["light", "dark"] as const) {
    test(`draws every chart with a clean console, in ${scheme}`, async () => {
      const page = await browser.newPage({ viewport: { width: 1_180, height: 900 }, colorScheme: scheme });
      const heard: string[] = [];
      page.on("console", (message) => heard.push(`${message.type()}: ${message.text()}`));
      page.on("pageerror", (error) => heard.push(error.message));
      page.on("request", (request) => {
        if (request.url() !== url && !request.url().startsWith("data:")) heard.push(`fetched ${request.url()}`);
      });
      await page.goto(url);
      const wanted = documents().flatMap((document) => document.charts.map(({ title }) => title));
      await page.waitForFunction(`document.querySelectorAll(".chart canvas").length === ${wanted.length}`);
      const drawn = await page.evaluate<readonly { readonly title: string; readonly colored: number }[]>(countColored);
      assert.deepEqual(
        drawn.map(({ title }) => title),
        wanted,
      );
      assert.deepEqual(
        drawn.filter(({ colored }) => colored < drawnMin),
        [],
      );
      assert.deepEqual(heard, []);
      if (shots !== undefined) {
        mkdirSync(shots, { recursive: true });
        for (const { scenario } of documents()) await page.locator(`#${scenario}`).screenshot({ path: join(shots, `${scheme}-${scenario}.png`) });
      }
      await page.close();
    });
  }
});
