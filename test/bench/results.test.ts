// The results that come with the project: whole, sound, of a kind of machine alone, and told by README as they are.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { scenarioNames } from "../../bench/all/scenarios.ts";
import { readCollected } from "../../bench/report/collected.ts";
import { resultTables, shortfallTables } from "../support/results-table.ts";

const root = resolve(import.meta.dirname, "../..");
const file = resolve(root, "bench/results/results.json");
const documents = readCollected(file);

describe("the committed results", () => {
  test("hold every scenario, and in each every guard and gate held", () => {
    assert.deepEqual(
      documents.map(({ scenario }) => scenario),
      scenarioNames,
    );
    const failed = documents.flatMap(({ scenario, checks }) =>
      checks.filter(({ kind, ok }) => kind !== "target" && !ok).map(({ what }) => `${scenario}: ${what}`),
    );
    assert.deepEqual(failed, []);
  });

  test("name the kind of machine and nothing else of it, in the page as well", () => {
    for (const { machine } of documents) {
      assert.deepEqual(Object.keys(machine), ["kind", "node", "loadBefore", "loadAfter"]);
      assert.match(machine.kind, /^\w+ \w+, \d+ cores$/);
    }
    const page = readFileSync(resolve(root, "bench/results/results.html"), "utf8");
    for (const text of [JSON.stringify(documents), page]) assert.doesNotMatch(text, /\/(?:home|root|tmp|work|Users)\/|127\.0\.0\.1:\d/);
  });

  test("are those of the page", () => {
    const page = readFileSync(resolve(root, "bench/results/results.html"), "utf8");
    const data = /<script type="application\/json" id="data">([^]*?)<\/script>/.exec(page)?.[1] ?? "";
    assert.deepEqual(JSON.parse(data), documents);
  });

  test("are what README tells", () => {
    const readme = readFileSync(resolve(root, "README.md"), "utf8");
    const missing = Object.values(resultTables(documents))
      .flat()
      .filter((line) => !readme.includes(line));
    assert.deepEqual(missing, [], "expected README to have these lines, as the results have them");
  });

  test("are what their own README tells of shortfalls, and of nothing else", () => {
    const readme = readFileSync(resolve(root, "bench/results/README.md"), "utf8");
    const wanted = shortfallTables(documents);
    assert.deepEqual(
      wanted.filter((one) => !readme.includes(one)),
      [],
      "expected bench/results/README.md to have these lines, as the results have them",
    );
    const tables = readme.slice(0, readme.indexOf("## What was tried"));
    const told = tables.split("\n").filter((one) => one.startsWith("| ") && !one.startsWith("| | ") && !one.startsWith("| scenario "));
    assert.deepEqual(told.toSorted(), wanted.toSorted(), "expected no other lines there");
  });
});
