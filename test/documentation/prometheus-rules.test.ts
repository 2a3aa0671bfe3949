// The rules for Prometheus are about metrics that there are; each alert fires on made-up data, and is quiet on good data.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { unknownMetrics } from "../support/named-metrics.ts";

const folder = resolve(import.meta.dirname, "../../deploy/prometheus");
const rules = readFileSync(join(folder, "holdfast.rules.yml"), "utf8");
const trials = readFileSync(join(folder, "holdfast.rules.test.yml"), "utf8");

test("rules, and the expressions of the documentation, name metrics of the catalogue, and labels that those have", () => {
  const documented = readFileSync(resolve(folder, "../../runtime/METRICS.md"), "utf8");
  assert.deepEqual([...unknownMetrics(rules), ...unknownMetrics(trials), ...unknownMetrics(documented.replaceAll("\\|", "|"))], []);
});

test("each alert is tried: on good data, and on data that it is for", () => {
  for (const [, alert = ""] of rules.matchAll(/- alert: (\w+)/g)) {
    const quiet = new RegExp(`alertname: ${alert} \\}`).test(trials);
    const fires = new RegExp(`alertname: ${alert}\\n\\s+exp_alerts:\\s+\\[\\s*\\{`).test(trials);
    assert.deepEqual([alert, quiet, fires], [alert, true, true]);
  }
});

if (spawnSync("promtool", ["--version"]).status === 0) {
  test("promtool accepts the rules, and the alerts fire and are quiet as they should", () => {
    for (const args of [
      ["check", "rules", "holdfast.rules.yml"],
      ["test", "rules", "holdfast.rules.test.yml"],
    ]) {
      const { status, stdout, stderr } = spawnSync("promtool", args, { cwd: folder, encoding: "utf8" });
      assert.equal(status, 0, stdout + stderr);
    }
  });
}
