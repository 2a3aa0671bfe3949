import Table from "cli-table3";
import { drawsOf } from "#load/generator/draw.ts";
import { readCollected } from "../report/collected.ts";
import type { RatioDocument, ReportDocument } from "../support/document.ts";
import { changeOf, type Change, type Interval, ratioInterval } from "./bootstrap.ts";

export interface Compared extends Interval {
  readonly name: string;
  readonly before: RatioDocument;
  readonly after: RatioDocument;
  readonly change: Change;
  readonly isWorse: boolean;
}

export function compare(before: readonly ReportDocument[], after: readonly ReportDocument[], tolerance: number): readonly Compared[] {
  const draw = drawsOf(1);
  let drawn = 0;
  const random = (): number => draw(drawn++, 0);
  return before.flatMap(({ scenario, ratios }) => {
    const other = after.find((document) => document.scenario === scenario);
    return Object.entries(ratios).flatMap(([name, one]) => {
      const two = other?.ratios[name];
      if (two === undefined) return [];
      const interval = ratioInterval(one.samples, two.samples, random);
      const change = changeOf(one.samples, two.samples, interval, tolerance);
      const isLost = change === "not measured" && !two.samples.every((sample) => Number.isFinite(sample));
      return [
        { name: `${scenario}: ${name}`, before: one, after: two, ...interval, change, isWorse: isLost || change === (one.better === "more" ? "less" : "more") },
      ];
    });
  });
}

export function run(before: string, after: string, { all = false, tolerance }: { readonly all?: boolean; readonly tolerance: number }): number {
  return tellCompared(compare(readCollected(before), readCollected(after), tolerance), all);
}

/** Prints a table, of all or of what has changed. Returns the exit code. */
export function tellCompared(all: readonly Compared[], isAll: boolean): number {
  const shown = isAll ? all : all.filter(({ change }) => change !== "same" && change !== "too few samples");
  const table = new Table({ head: ["ratio", "A", "B", "B / A", "95 % of", ""], style: { head: [], border: [], compact: true } });
  for (const { name, before: one, after: two, ratio, low, high, change, isWorse } of shown) {
    const medians = [one, two].map(({ samples, median }) => (samples.every((sample) => Number.isFinite(sample)) ? median.toFixed(2) : "–"));
    if (change === "not measured") table.push([name, ...medians, "–", "–", isWorse ? "WORSE: not measured" : change]);
    else {
      const verdict = change === "more" || change === "less" ? (isWorse ? "WORSE" : "better") : change;
      table.push([name, ...medians, ratio.toFixed(3), `${low.toFixed(3)}–${high.toFixed(3)}`, verdict]);
    }
  }
  const worse = all.filter((one) => one.isWorse).length;
  const unsure = all.filter(({ change }) => change === "too few samples").length;
  if (shown.length > 0) process.stdout.write(`${table.toString()}\n`);
  process.stdout.write(
    `${all.length} ratios in both, ${worse} worse, ${all.filter(({ change }) => change === "same").length} the same within noise, ${unsure} with too few samples to tell\n`,
  );
  return worse > 0 ? 1 : 0;
}
