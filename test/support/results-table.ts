/** What README tells of the committed results, made from them. */
import type { FigureDocument, ReportDocument } from "../../bench/support/document.ts";

type Cell = string | number | FigureDocument | null | undefined;

function textOf(cell: Cell): string {
  if (cell === null || cell === undefined) throw new Error("expected a figure that README tells, found none in the results");
  const value = typeof cell === "object" ? cell.median : cell;
  if (typeof value === "string") return value;
  return value >= 100 ? Number(value.toPrecision(3)).toLocaleString("en") : value >= 10 ? value.toFixed(0) : String(Number(value.toFixed(1)));
}

function line(...cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

/** Of the rows whose first cells are these, in a table of a scenario, a column. */
function cell(documents: readonly ReportDocument[], scenario: string, table: string, first: readonly string[], column: string): string {
  const found = documents.find((document) => document.scenario === scenario)?.tables.find(({ name }) => name === table);
  const names = Object.keys(found?.columns ?? {});
  return textOf(found?.rows.find((row) => first.every((text, index) => row[names[index] ?? ""] === text))?.[column]);
}

/** Throughput and cost of a no-op, of everybody. */
function costLines(documents: readonly ReportDocument[]): readonly string[] {
  const rows = documents.find(({ scenario }) => scenario === "peers")?.tables.find(({ name }) => name === "no-op")?.rows ?? [];
  return rows.map(({ name, perSecond, client, redis, broker }) => line(textOf(name), ...[perSecond, client, redis, broker].map(textOf)));
}

const ours = "Holdfast, Redis";
const subscribe = "subscribe, 200 calls + SET NX";
const loop = "receiveMessages(500) + pipelined SET NX";
const lowLoad = "100 a second";

/** What else differs. */
function differenceLines(documents: readonly ReportDocument[]): readonly string[] {
  const wrong = (name: string): string => cell(documents, "settlement", "outcomes", [name], "wrong");
  const share = (name: string): string => cell(documents, "head-of-line", "head-of-line", [name], "share");
  const latency = (name: string): string => cell(documents, "latency", "latency", [name, lowLoad], "p99");
  const beside = (phase: string): readonly string[] => ["holdfast", "subscribe-200"].map((table) => cell(documents, "isolation", table, [phase], "p99"));
  return [
    line("messages settled otherwise than asked, of 40 000", wrong("amqp"), wrong("sdk"), ""),
    line("rate of the rest beside a message that is held, of the rate without it", share(ours), share(subscribe), share(loop)),
    line("99 % of the events for a dependency while another one is well, ms", ...beside("calm"), ""),
    ...["hangs", "is slow", "fails"].map((phase) => line(`while the other one ${phase}`, ...beside(phase), "")),
    line("99 % at 100 events a second, ms", latency(ours), latency(subscribe), latency(loop)),
  ];
}

/** What falls short. */
function missedLines(documents: readonly ReportDocument[]): readonly string[] {
  return documents.flatMap(({ scenario, checks }) => checks.filter(({ ok }) => !ok).map(({ what, expected, found }) => line(scenario, what, expected, found)));
}

/** The lines of bench/results/README.md: what is short of its aim or missed, and what a message costs, by part and by stage. */
export function shortfallTables(documents: readonly ReportDocument[]): readonly string[] {
  const short = documents.flatMap(({ scenario, checks }) =>
    checks
      .filter(({ ok, isShortOfAim }) => !ok || isShortOfAim === true)
      .map(({ what, expected, found, ok }) => line(scenario, what, expected, found, ok ? "" : "missed")),
  );
  const tables = documents.find(({ scenario }) => scenario === "overhead")?.tables ?? [];
  const costs = tables.flatMap(({ columns, rows }) => rows.map((row) => line(...Object.keys(columns).map((column) => textOf(row[column])))));
  return [...short, ...costs];
}

/** The lines of README's tables. */
export function resultTables(documents: readonly ReportDocument[]): Readonly<Record<"costs" | "differences" | "missed", readonly string[]>> {
  return { costs: costLines(documents), differences: differenceLines(documents), missed: missedLines(documents) };
}
