/** JSON for readers beside JavaScript, such as Redis: they refuse half of a surrogate pair, which a text is left with where it was cut. */

/** How JavaScript writes half of a pair; it may stand behind a backslash of the text's own, too. */
const half = "\\ud";

/** `charactersMax`: of each text, by the name of its field; as many as there are where it is left out. */
export function wellFormedJson(value: unknown, charactersMax?: (name: string) => number): string {
  const json = JSON.stringify(value);
  if (charactersMax === undefined && !json.includes(half)) return json;
  return JSON.stringify(value, (name, part: unknown) => (typeof part === "string" ? cutText(part, charactersMax?.(name) ?? part.length) : part));
}

/** The first `charactersMax`, without half of a pair at their end. */
export function cutText(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).toWellFormed();
}
