/** What the commands on dead letters have in common: opening the boxes, choosing letters, writing them. */
import { composeLetters } from "../compose/dead-letters.ts";
import { ConfigurationError } from "../core/errors.ts";
import { isSelected, type Letter, type Letters, scan, type SeenLetter } from "../recovery/letters.ts";
import type { DlqOptions, SelectOptions } from "./dlq-options.ts";
import { loadSource, type LoadedSource } from "./load-source.ts";
import { writeResult } from "./output.ts";

/** Opens the boxes of the configured consumer for `work`, and closes them after it. */
export async function withLetters<T>(options: DlqOptions, work: (letters: Letters, loaded: LoadedSource) => Promise<T>): Promise<T> {
  const loaded = await loadSource(options);
  const letters = await composeLetters(loaded.config, options.forwardedTo);
  try {
    for (const box of letters.boxes) await box.start();
    return await work(letters, loaded);
  } finally {
    for (const box of letters.boxes) await box.stop();
  }
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

/** A letter as JSON shows it. */
export function plainLetter({ box, sequenceNumber, enqueuedAtMs, atMs, ...rest }: Letter): Readonly<Record<string, unknown>> {
  return { queue: box.name, sequenceNumber: String(sequenceNumber), at: time(atMs), enqueuedAt: time(enqueuedAtMs), ...rest };
}

export function time(ms: number): string {
  return new Date(ms).toISOString();
}

export function printJson(value: unknown): void {
  writeResult(`${JSON.stringify(value, undefined, 2)}\n`);
}
