// The table of metrics in the documentation is what the catalogue makes; the failing test shows the rows to put there.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { durationBucketsSeconds, metricCatalogue, metricNames } from "#runtime/core/metric-catalogue.ts";
import { readDocument } from "../support/markdown.ts";
import { metricTable } from "../support/metric-table.ts";

test("the table of metrics is what the catalogue makes", () => {
  const document = readDocument("runtime/METRICS.md");
  const start = document.indexOf("| metric |");
  const there = document.slice(start, document.indexOf("\n\n", start)).split("\n");
  const rows = metricTable().split("\n");
  assert.deepEqual(
    rows.filter((row) => !there.includes(row)),
    [],
    "expected runtime/METRICS.md to hold these rows; put them there",
  );
  assert.deepEqual(there, rows, "expected the table to hold nothing else, in this order");
  assert.ok(document.includes(durationBucketsSeconds.join(", ")), `expected runtime/METRICS.md to list the buckets: ${durationBucketsSeconds.join(", ")}`);
});

test("metrics are named by the conventions of Prometheus, and no label can have a value for each event", () => {
  for (const name of metricNames) {
    const { type, unit, labels } = metricCatalogue[name];
    assert.match(name, /^holdfast_[a-z_]+$/);
    assert.equal(name.endsWith("_total"), type === "counter", `${name}: expected _total for a counter, and for nothing else`);
    const base = name.replace(/_total$/, "");
    for (const base_unit of ["seconds", "bytes", "ratio"])
      assert.equal(base.endsWith(`_${base_unit}`), unit === base_unit, `${name}: expected its unit, ${unit}, in its name`);
    assert.ok(!/milli|micro|_ms\b|_us\b|kilo|mega|percent/.test(name), `${name}: expected a base unit`);
    assert.deepEqual(
      labels.filter((label) => /event_?id|trace|message_?id|worker|correlation|tenant|project/i.test(label)),
      [],
      name,
    );
  }
});
