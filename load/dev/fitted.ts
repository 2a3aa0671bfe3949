/** Tables that fit a terminal: with borders where there is room, else as names and values on lines that are short enough. */
import Table from "cli-table3";

type Cell = string | number;

/** Joins parts with two spaces, and begins a new line where the next one has no room. */
export function wrapped(parts: readonly string[], columns: number): string {
  const lines: string[] = [];
  let line = "";
  for (const part of parts) {
    const longer = line === "" ? part : `${line}  ${part}`;
    if (longer.length <= columns) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    line = part.slice(0, columns);
  }
  return [...lines, line].join("\n");
}

/** A table of one row or more, at most `columns` wide. */
export function fitted(head: readonly string[], rows: readonly (readonly Cell[])[], columns: number): string {
  const table = new Table({ style: { head: [], border: [], compact: true }, head: [...head] });
  for (const row of rows) table.push([...row]);
  const text = table.toString();
  const width = Math.max(...text.split("\n").map((line) => line.length));
  if (width <= columns) return text;
  return rows
    .map((row) =>
      wrapped(
        row.map((cell, at) => `${head[at]} ${cell}`),
        columns,
      ),
    )
    .join("\n");
}
