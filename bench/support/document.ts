/** What a bench found, as the document that is kept, compared with others and shown on the page. Its schema has a number. */
import { arch, availableParallelism, loadavg, platform } from "node:os";
import { type Figure, median } from "./figures.ts";
import { isMet, isShortOfAim, type Target, targetRow } from "./target.ts";

export type Cell = string | number | Figure | undefined;

export interface TableOfFigures<Column extends string = string> {
  readonly name: string;
  /** What is said above the table. */
  readonly title: string;
  /** The head of each column, units included, by the name that it has in JSON. */
  readonly columns: Readonly<Record<Column, string>>;
  readonly rows: readonly Readonly<Record<NoInfer<Column>, Cell>>[];
}

/** How many of those that were counted, one by one, were not as they must be. */
export interface Guard {
  readonly what: string;
  readonly wrong: number;
  readonly examples?: readonly string[];
}

export function isHeld({ wrong }: Guard): boolean {
  return wrong === 0;
}

interface ChartOfAny {
  readonly title: string;
  /** Of the values. */
  readonly unit: string;
  readonly isLog?: boolean;
}

export type Chart =
  /** A bar for each series at each label. */
  | (ChartOfAny & {
      readonly kind: "bars";
      readonly labels: readonly string[];
      readonly series: readonly { readonly name: string; readonly values: readonly number[] }[];
      /** The bars of a label stand on each other. */
      readonly isStacked?: boolean;
    })
  | (ChartOfAny & {
      readonly kind: "lines";
      readonly x: { readonly title: string; readonly isLog?: boolean; readonly isPercentile?: boolean };
      readonly series: readonly { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] }[];
      /** Times in which something was wrong. */
      readonly shaded?: readonly { readonly from: number; readonly to: number; readonly title: string }[];
    });

export interface FigureDocument {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: readonly number[];
}

/** Of figures of one run. */
export interface RatioDocument extends FigureDocument {
  readonly better: "more" | "less";
}

export interface Ratio {
  readonly found: Figure;
  readonly better: RatioDocument["better"];
}

export const schemaVersion = 1;

export interface ReportDocument {
  readonly schema: typeof schemaVersion;
  readonly scenario: string;
  /** Its kind, and how busy it was; nothing else of it. */
  readonly machine: { readonly kind: string; readonly node: string; readonly loadBefore: number; readonly loadAfter: number };
  /** Samples of the figure that has most. */
  readonly repeats: number;
  /** What is compared between runs. */
  readonly ratios: Readonly<Record<string, RatioDocument>>;
  /** Every figure, by its table, row and column. */
  readonly figures: Readonly<Record<string, FigureDocument>>;
  readonly checks: readonly {
    readonly kind: "target" | "gate" | "guard";
    readonly what: string;
    readonly expected: string;
    readonly found: string;
    readonly ok: boolean;
    /** It is met, and short of what it should become. */
    readonly isShortOfAim?: true;
  }[];
  readonly tables: readonly {
    readonly name: string;
    readonly title: string;
    readonly columns: Readonly<Record<string, string>>;
    readonly rows: readonly Readonly<Record<string, string | number | FigureDocument | null>>[];
  }[];
  readonly remarks: readonly string[];
  readonly charts: readonly Chart[];
}

/** Significant digits of a sample in JSON. */
const digits = 6;

export class MachineWatch {
  readonly #loadBefore = loadavg()[0]!;

  text(): string {
    return `Node ${process.version}, ${kindOfMachine()}, load average ${this.#loadBefore.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} after`;
  }

  document(): ReportDocument["machine"] {
    const rounded = (load: number): number => Number(load.toFixed(1));
    return { kind: kindOfMachine(), node: process.version, loadBefore: rounded(this.#loadBefore), loadAfter: rounded(loadavg()[0]!) };
  }
}

function kindOfMachine(): string {
  return `${platform()} ${arch()}, ${availableParallelism()} cores`;
}

export interface Found {
  readonly scenario: string;
  readonly machine: MachineWatch;
  readonly parts: readonly (TableOfFigures | string)[];
  readonly targets: readonly Target[];
  readonly gates: readonly Target[];
  readonly guards: readonly Guard[];
  readonly charts: readonly Chart[];
  readonly ratios: ReadonlyMap<string, Ratio>;
}

export function makeDocument({ scenario, machine, parts, targets, gates, guards, charts, ratios }: Found): ReportDocument {
  const tables = parts.filter((part) => typeof part !== "string");
  const figures = tables.flatMap(figuresOf);
  const held = [...gates, ...targets];
  const ofTargets = held
    .filter(({ unit }) => unit === "")
    .map(({ what, found, bound }) => [what, { found, better: "atLeast" in bound ? "more" : "less" }] as const);
  return {
    schema: schemaVersion,
    scenario,
    machine: machine.document(),
    repeats: Math.max(0, ...figures.map(([, { samples }]) => samples.length), ...held.map(({ found }) => found.samples.length)),
    ratios: Object.fromEntries([...ratios, ...ofTargets].map(([name, { found, better }]) => [name, { ...figureDocument(found), better }])),
    figures: documentsOf([...figures, ...held.filter(({ unit }) => unit !== "").map(({ what, found }) => [`targets/${what}`, found] as const)]),
    checks: [...guards.map(checkOfGuard), ...gates.map((gate) => checkOf("gate", gate)), ...targets.map((target) => checkOf("target", target))],
    tables: tables.map(({ name, title, columns, rows }) => ({
      name,
      title,
      columns,
      rows: rows.map((row) => Object.fromEntries(Object.keys(columns).map((column) => [column, cellOf(row[column])]))),
    })),
    remarks: parts.filter((part) => typeof part === "string"),
    charts: charts.map(roundedChart),
  };
}

/** `table/row/column`; the row is named by its leading cells that are no figures. */
function figuresOf({ name, columns, rows }: TableOfFigures): (readonly [string, Figure])[] {
  const leading = new Map<string, string>();
  return rows.flatMap((row, index) => {
    const cells = Object.keys(columns).map((column) => [column, row[column]] as const);
    const firstFigure = cells.findIndex(([, cell]) => typeof cell === "object");
    // A row that belongs to the one above it leaves out what it would only repeat.
    const names = cells.slice(0, Math.max(0, firstFigure)).map(([column, cell]) => {
      const text = typeof cell === "number" ? String(cell) : typeof cell === "string" && cell !== "" ? cell : (leading.get(column) ?? "");
      leading.set(column, text);
      return text;
    });
    const rowName = names.filter((text) => text !== "").join(" ") || String(index);
    return cells.flatMap(([column, cell]) => (typeof cell === "object" ? [[`${name}/${rowName}/${column}`, cell] as const] : []));
  });
}

function documentsOf(figures: readonly (readonly [string, Figure])[]): Record<string, FigureDocument> {
  return Object.fromEntries(figures.map(([name, found]) => [name, figureDocument(found)]));
}

export function figureDocument({ samples }: Figure): FigureDocument {
  const rounded = samples.map(round);
  return { median: median(rounded), min: Math.min(...rounded), max: Math.max(...rounded), samples: rounded };
}

function cellOf(cell: Cell): string | number | FigureDocument | null {
  if (cell === undefined) return null;
  return typeof cell === "object" ? figureDocument(cell) : cell;
}

function round(value: number): number {
  return Number(value.toPrecision(digits));
}

function checkOf(kind: "gate" | "target", target: Target): ReportDocument["checks"][number] {
  const [what = "", expected = "", found = ""] = targetRow(target);
  return { kind, what, expected, found, ok: isMet(target), ...(isShortOfAim(target) ? { isShortOfAim: true } : undefined) };
}

function checkOfGuard(guard: Guard): ReportDocument["checks"][number] {
  const { what, wrong, examples = [] } = guard;
  return { kind: "guard", what, expected: "0", found: [wrong, ...examples.slice(0, 3)].join(", "), ok: isHeld(guard) };
}

function roundedChart(chart: Chart): Chart {
  return chart.kind === "bars"
    ? { ...chart, series: chart.series.map(({ name, values }) => ({ name, values: values.map(round) })) }
    : { ...chart, series: chart.series.map(({ name, points }) => ({ name, points: points.map(([x, y]) => [round(x), round(y)] as const) })) };
}
