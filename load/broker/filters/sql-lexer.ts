// Cuts the text of a SQL filter or action into tokens.

/** A filter or an action that is not written right; says what was expected, and where, counted from 1. */
export class FilterSyntaxError extends Error {
  readonly code = "FilterSyntax";
  readonly position: number;
  constructor(message: string, position: number) {
    super(`${message} at position ${position + 1}`);
    this.name = "FilterSyntaxError";
    this.position = position;
  }
}

export interface Token {
  /** `name` is a plain word, `quoted` a name in brackets or double quotes, `parameter` a name after @. */
  readonly kind: "name" | "quoted" | "parameter" | "string" | "integer" | "decimal" | "symbol" | "end";
  /** What it says, without quotes; words and symbols as they are written. */
  readonly text: string;
  readonly position: number;
}

/** Characters of one expression at most, as the real service has it. */
export const expressionLengthMax = 1024;

const pattern =
  /\s+|(?<name>\p{L}[\p{L}\p{Nd}_]*)|@(?<parameter>[\p{L}_][\p{L}\p{Nd}_]*)|(?<decimal>(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|(?<integer>\d+)|'(?<string>(?:[^']|'')*)'|\[(?<bracketed>(?:[^\]]|\]\])*)\]|"(?<quoted>(?:[^"]|"")*)"|(?<symbol><>|!=|<=|>=|[-+*/%=<>(),.;])/uy;

export function tokenize(text: string): Token[] {
  if (text.length > expressionLengthMax)
    throw new FilterSyntaxError(`expected at most ${expressionLengthMax} characters, found ${text.length}`, expressionLengthMax);
  const tokens: Token[] = [];
  pattern.lastIndex = 0;
  for (let position = 0; position < text.length; position = pattern.lastIndex) {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match === null) throw unreadable(text, position);
    const token = tokenOf(match.groups ?? {}, position);
    if (token !== undefined) tokens.push(token);
  }
  tokens.push({ kind: "end", text: "", position: text.length });
  return tokens;
}

function tokenOf(groups: Readonly<Record<string, string | undefined>>, position: number): Token | undefined {
  const { string, bracketed, quoted } = groups;
  if (string !== undefined) return { kind: "string", text: string.replaceAll("''", "'"), position };
  if (bracketed !== undefined) return { kind: "quoted", text: bracketed.replaceAll("]]", "]"), position };
  if (quoted !== undefined) return { kind: "quoted", text: quoted.replaceAll('""', '"'), position };
  for (const kind of ["name", "parameter", "integer", "decimal", "symbol"] as const) {
    const text = groups[kind];
    if (text !== undefined) return { kind, text, position };
  }
  return undefined;
}

/** What a character that opens something wants. */
const openings: ReadonlyMap<string, string> = new Map([
  ["'", "a string that ends with '"],
  ["[", "a name that ends with ]"],
  ['"', 'a name that ends with "'],
]);

function unreadable(text: string, position: number): FilterSyntaxError {
  const character = text[position] ?? "";
  if (character === "_") return new FilterSyntaxError("expected a name that begins with a letter, or one in brackets, found '_'", position);
  const open = openings.get(character);
  return new FilterSyntaxError(open === undefined ? `expected a part of an expression, found '${character}'` : `expected ${open}, found the end`, position);
}
