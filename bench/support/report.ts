/**
 * What a bench has to say, in the order in which it is to be read: tables of figures, remarks, targets. It is printed at the
 * end, for people or as one JSON document; a missed target makes the exit code 1 where the caller asked for `--check`.
 */
import { availableParallelism, loadavg } from "node:os";
import Table from "cli-table3";
import { type Figure, figureText, median } from "./figures.ts";
import { type Target, isMet, targetRow } from "./target.ts";

type Cell = string | number | Figure | undefined;

export interface TableOfFigures<Column extends string = string> {
  readonly name: string;
  /** What is said above the table. */
  readonly title: string;
  /** The head of each column, units included, by the name that it has in JSON. */
  readonly columns: Readonly<Record<Column, string>>;
  readonly rows: readonly Readonly<Record<NoInfer<Column>, Cell>>[];
}

export interface ReportOptions {
  readonly json?: boolean;
  readonly check?: boolean;
}

/** Significant digits of a sample in JSON. */
const jsonDigits = 6;

export class Report {
  readonly #bench: string;
  readonly #options: ReportOptions;
  readonly #loadAtStart = loadavg()[0]!;
  readonly #parts: (TableOfFigures | string)[] = [];
  readonly #targets: Target[] = [];

  constructor(bench: string, options: ReportOptions) {
    this.#bench = bench;
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

  /** Prints everything. Returns the exit code. */
  end(): number {
    process.stdout.write(this.#options.json === true ? `${JSON.stringify(this.#document())}\n` : this.#text());
    return this.#options.check === true && !this.#targets.every(isMet) ? 1 : 0;
  }

  get #machine(): string {
    return `Node ${process.version}, ${availableParallelism()} cores, load average ${this.#loadAtStart.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} after`;
  }

  #text(): string {
    const parts = this.#parts.map((part) => (typeof part === "string" ? part : `${part.title}\n${textTable(Object.values(part.columns), rowsOf(part))}`));
    if (this.#targets.length > 0) parts.push(textTable(["target", "expected", "found", ""], this.#targets.map(targetRow)));
    return `${[...parts, this.#machine].join("\n")}\n`;
  }

  #document(): unknown {
    const tables = this.#parts
      .filter((part) => typeof part !== "string")
      .map(({ name, rows }) => [name, rows.map((row) => Object.fromEntries(Object.entries(row).map(([column, cell]) => [column, jsonOf(cell)])))]);
    return {
      bench: this.#bench,
      ...Object.fromEntries(tables),
      remarks: this.#parts.filter((part) => typeof part === "string"),
      targets: this.#targets.map((target) => ({
        what: target.what,
        unit: target.unit,
        ...target.bound,
        aim: target.aim,
        found: jsonOf(target.found),
        met: isMet(target),
      })),
      machine: this.#machine,
    };
  }
}

function rowsOf({ columns, rows }: TableOfFigures): string[][] {
  return rows.map((row) => Object.keys(columns).map((column) => textOf(row[column])));
}

function textOf(cell: Cell): string {
  if (cell === undefined) return "–";
  if (typeof cell === "object") return figureText(cell);
  return typeof cell === "number" ? cell.toLocaleString("en") : cell;
}

function jsonOf(cell: Cell): unknown {
  if (cell === undefined || typeof cell !== "object") return cell;
  const samples = cell.samples.map((sample) => Number(sample.toPrecision(jsonDigits)));
  return { median: median(samples), least: Math.min(...samples), most: Math.max(...samples), samples };
}

function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  for (const row of rows) table.push([...row]);
  return table.toString();
}
