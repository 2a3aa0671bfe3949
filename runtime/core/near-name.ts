// What was probably meant by a name that is not known.

/** Names that are compared, and characters of each: names come from outside. */
const namesMax = 500;
const charactersMax = 128;

/** How many single changes make one text of the other: a character more, less, another, or two exchanged. */
function distance(one: string, other: string): number {
  let before: number[] = [];
  let row = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (let line = 1; line <= one.length; line += 1) {
    const next = [line];
    for (let column = 1; column <= other.length; column += 1) {
      const isSame = one[line - 1] === other[column - 1];
      let least = Math.min((row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1, (row[column - 1] ?? 0) + (isSame ? 0 : 1));
      const isExchanged = line > 1 && column > 1 && one[line - 1] === other[column - 2] && one[line - 2] === other[column - 1];
      if (isExchanged) least = Math.min(least, (before[column - 2] ?? 0) + 1);
      next.push(least);
    }
    before = row;
    row = next;
  }
  return row[other.length] ?? 0;
}

/** Which of the known names is so like the given one that it may have been meant: a third of its characters may differ, capitals aside. */
export function nearName(given: string, known: readonly string[]): string | undefined {
  if (given.length > charactersMax) return undefined;
  const plain = given.toLowerCase();
  let near: string | undefined;
  let least = Math.max(1, Math.floor(given.length / 3)) + 1;
  for (const name of known.slice(0, namesMax)) {
    if (Math.abs(name.length - given.length) >= least || name.length > charactersMax) continue;
    const differs = distance(plain, name.toLowerCase());
    if (differs >= least) continue;
    least = differs;
    near = name;
  }
  return near;
}

/** To be put behind an error about a name that is not known; empty when none is near. */
export function didYouMean(given: string, known: readonly string[]): string {
  const near = nearName(given, known);
  return near === undefined ? "" : `; did you mean '${near}'?`;
}
