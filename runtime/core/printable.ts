/** Text for a terminal: nothing that a message brings may move its cursor, paint it, or turn the direction of what is read. */

function escaped(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`;
}

/** One line. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, escaped);
}

/** As many lines as it has. */
export function printableLines(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|\p{Cf}/gu, escaped);
}
