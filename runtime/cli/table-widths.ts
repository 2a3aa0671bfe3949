/** Of output that goes to no terminal. */
const plainColumns = 100;
/** A table is readable no narrower, and needs no more. */
const tableColumns = { min: 80, max: 150 };

/** A text whose words fit into a column: what is longer goes on below, where it would be cut off. */
export function fitted(text: string, width: number): string {
  const padding = 2;
  return text.replaceAll(new RegExp(`\\S{${width - padding}}(?=\\S)`, "gu"), "$&\n");
}

/**
 * The widths of a table's columns, so that it fits: some as they are, and the rest of `columns` shared out among those that follow by
 * these parts of 1; the last one of them gets what is left.
 */
export function tableWidths(fixed: readonly number[], shares: readonly number[], columns: number = process.stdout.columns ?? plainColumns): number[] {
  const borders = fixed.length + shares.length + 2;
  const left = Math.min(tableColumns.max, Math.max(tableColumns.min, columns)) - borders - fixed.reduce((sum, width) => sum + width, 0);
  const shared = shares.map((share) => Math.floor(left * share));
  return [...fixed, ...shared, left - shared.reduce((sum, width) => sum + width, 0)];
}
