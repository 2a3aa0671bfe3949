/**
 * What a bench has to say, in the order in which it is to be read: tables of figures, remarks, guards, gates and targets. It is printed
 * at the end, for people or as one JSON document (`document.ts`). A guard that is broken makes the exit code 1: what is lost,
 * wrong or done twice spoils every figure. So does a gate that is missed: what the bench is there to show did not happen. A
 * missed target does where the caller asked for `--check`.
 */
import { writeFileSync } from "node:fs";
import Table from "cli-table3";
import { type Cell, type Chart, type Guard, isHeld, makeDocument, type Ratio, type ReportDocument, type TableOfFigures, MachineWatch } from "./document.ts";
import { type Figure, figureText } from "./figures.ts";
import { type Target, isMet, isShortOfAim, targetRow } from "./target.ts";

export interface ReportOptions {
  /** Prints JSON; with a path, writes it there, and prints for people. */
  readonly json?: boolean | string;
  readonly check?: boolean;
}

/** The costs by stage, and what was tried. */
const whereExplained =
  "What falls short, with the profile that says why and what was tried: bench/results/README.md; the profile of this machine: npm run bench -- overhead.";

export class Report {
  readonly #scenario: string;
  readonly #options: ReportOptions;
  readonly #machine = new MachineWatch();
  readonly #parts: (TableOfFigures | string)[] = [];
  readonly #targets: Target[] = [];
  readonly #gates: Target[] = [];
  readonly #guards: Guard[] = [];
  readonly #charts: Chart[] = [];
  readonly #ratios = new Map<string, Ratio>();

  constructor(scenario: string, options: ReportOptions) {
    this.#scenario = scenario;
    this.#options = options;
  }

  table<Column extends string>(table: TableOfFigures<Column>): void {
    this.#parts.push(table);
  }

  /** A remark of one sentence or more. */
  remark(text: string): void {
    this.#parts.push(text);
  }

  targets(...targets: readonly Target[]): void {
    this.#targets.push(...targets);
  }

  /** So far from its bound, in whatever company it is measured, that noise does not decide. */
  gates(...gates: readonly Target[]): void {
    this.#gates.push(...gates);
  }

  /** What must hold for any figure to mean something. */
  guards(...guards: readonly Guard[]): void {
    this.#guards.push(...guards);
  }

  /** Of two figures of this run: what is compared between runs. A target without a unit is one, too. */
  ratio(name: string, found: Figure, better: Ratio["better"] = "more"): void {
    this.#ratios.set(name, { found, better });
  }

  chart(chart: Chart): void {
    this.#charts.push(chart);
  }

  /** Prints everything. Returns the exit code. */
  end(): number {
    const { json, check } = this.#options;
    if (json === true) process.stdout.write(`${JSON.stringify(this.#document())}\n`);
    else {
      if (json !== undefined && json !== false) writeFileSync(json, `${JSON.stringify(this.#document())}\n`);
      process.stdout.write(this.#text());
    }
    if (!this.#guards.every(isHeld) || !this.#gates.every(isMet)) return 1;
    return check === true && !this.#targets.every(isMet) ? 1 : 0;
  }

  #document(): ReportDocument {
    return makeDocument({
      scenario: this.#scenario,
      machine: this.#machine,
      parts: this.#parts,
      targets: this.#targets,
      gates: this.#gates,
      guards: this.#guards,
      charts: this.#charts,
      ratios: this.#ratios,
    });
  }

  #text(): string {
    const parts = this.#parts.map((part) => (typeof part === "string" ? part : `${part.title}\n${textTable(Object.values(part.columns), rowsOf(part))}`));
    if (this.#guards.length > 0) parts.push(textTable(["guard", "found", ""], this.#guards.map(guardRow)));
    if (this.#gates.length > 0) parts.push(textTable(["gate", "expected", "found", ""], this.#gates.map(targetRow)));
    if (this.#targets.length > 0) parts.push(textTable(["target", "expected", "found", ""], this.#targets.map(targetRow)));
    if (this.#targets.some((target) => !isMet(target) || isShortOfAim(target))) parts.push(whereExplained);
    return `${[...parts, this.#machine.text()].join("\n")}\n`;
  }
}

function guardRow(guard: Guard): string[] {
  const { what, wrong, examples = [] } = guard;
  const found = examples.length === 0 ? wrong.toLocaleString("en") : `${wrong.toLocaleString("en")}: ${examples.slice(0, 3).join(", ")}`;
  return [what, found, isHeld(guard) ? "held" : "BROKEN"];
}

function rowsOf({ columns, rows }: TableOfFigures): string[][] {
  return rows.map((row) => Object.keys(columns).map((column) => textOf(row[column])));
}

function textOf(cell: Cell): string {
  if (cell === undefined) return "–";
  if (typeof cell === "object") return figureText(cell);
  return typeof cell === "number" ? cell.toLocaleString("en") : cell;
}

function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) table.push([...row]);
  return table.toString();
}
