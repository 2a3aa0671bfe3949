/** What the commands on dead letters have in common: opening the boxes, choosing letters, writing them. */
import { composeLetters } from "../compose/dead-letters.ts";
import { ConfigurationError } from "../core/errors.ts";
import { isSelected, type Letter, type Letters, scan, type SeenLetter } from "../recovery/letters.ts";
import type { DlqOptions, SelectOptions } from "./dlq-options.ts";
import { type LoadedSource, loadSources, theOne } from "./load-source.ts";
import { writeResult } from "./output.ts";

/** The dead letters of one source. */
export interface SourceLetters {
  readonly letters: Letters;
  readonly loaded: LoadedSource;
}

/** Opens the boxes of the sources that are meant for `work`, and closes them after it. */
export async function withLetters<T>(options: DlqOptions, work: (sources: readonly SourceLetters[]) => Promise<T>): Promise<T> {
  const sources: SourceLetters[] = [];
  for (const loaded of await loadSources(options)) sources.push({ loaded, letters: await composeLetters(loaded.config, options.forwardedTo) });
  const boxes = sources.flatMap(({ letters }) => letters.boxes);
  try {
    for (const box of boxes) await box.start();
    return await work(sources);
  } finally {
    for (const box of boxes) await box.stop();
  }
}

/** The same for a change of letters that must be named: those of the one source that has such ones. */
export async function withOwnLetters<T>(options: SelectOptions, work: (letters: Letters, loaded: LoadedSource) => Promise<T>): Promise<T> {
  return withLetters(options, async (sources) => {
    const { letters, loaded } = await theOne(
      sources,
      async (one) => !(await selected(one.letters, options).next()).done,
      (one) => one.loaded.name,
      "there are such dead letters",
    );
    return work(letters, loaded);
  });
}

/** What is about to be changed must have been named. */
export function checkSelection({ group, event, all }: SelectOptions & { readonly all?: boolean }): void {
  if ((group.length > 0 || event.length > 0) === (all === true))
    throw new ConfigurationError(
      `expected either --all, or --group and --event, found ${all === true ? "both" : "neither"}; 'holdfast dlq groups' lists the groups`,
    );
}

export async function* selected(letters: Letters, { group, event }: SelectOptions): AsyncGenerator<SeenLetter> {
  for await (const seen of scan(letters)) {
    if (isSelected(seen.letter, { groups: group, events: event })) yield seen;
  }
}

/** A letter as JSON shows it; `source`: the name of the one that it is of. */
export function plainLetter(letter: Letter, source: string): Readonly<Record<string, unknown>> {
  const { box, sequenceNumber, enqueuedAtMs, atMs, latestMs, ...rest } = letter;
  const times = { at: time(atMs), atTheLatest: time(latestMs), enqueuedAt: time(enqueuedAtMs) };
  return { source, queue: box.name, sequenceNumber: String(sequenceNumber), ...times, ...rest };
}

export function time(ms: number): string {
  return new Date(ms).toISOString();
}

export function printJson(value: unknown): void {
  writeResult(`${JSON.stringify(value, undefined, 2)}\n`);
}
