/** `holdfast dlq groups | show | export | purge`. */
import { counted } from "../core/counted.ts";
import Table from "cli-table3";
import { checkStoreIsShared, composeRunStore } from "../compose/store.ts";
import type { Delivery } from "../core/delivery.ts";
import { ConfigurationError } from "../core/errors.ts";
import { printableLines } from "../core/printable.ts";
import { redactValue } from "../core/redact.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { RunStore } from "../ports/run-store.ts";
import { Groups, type LetterGroup } from "../recovery/groups.ts";
import { type Letter, scan } from "../recovery/letters.ts";
import { take } from "../recovery/take.ts";
import { byHandOf } from "./by-hand.ts";
import { checkSelection, plainLetter, printJson, selected, type SourceLetters, time, withLetters, withOwnLetters } from "./dlq-letters.ts";
import type { DlqOptions, ExportOptions, PurgeOptions, ShowOptions } from "./dlq-options.ts";
import type { LoadedSource } from "./load-source.ts";
import { writeNewFile } from "./new-file.ts";
import { isReaderGone, writeResult, writeText } from "./output.ts";
import { plainRun } from "./runs-view.ts";
import { fitted, tableWidths } from "./table-widths.ts";

export async function groups(options: DlqOptions): Promise<void> {
  await withLetters(options, async (sources) => {
    const list: SourceGroup[] = [];
    for (const { letters, loaded } of sources) {
      const known = new Groups();
      for await (const { letter } of scan(letters)) known.add(letter);
      list.push(...known.list().map((group) => ({ source: loaded.name, ...group })));
    }
    list.sort((one, other) => other.count - one.count || other.lastMs - one.lastMs);
    if (options.json === true) printJson(list.map(plainGroup));
    else writeText(describeGroups(list, sources));
  });
}

interface SourceGroup extends LetterGroup {
  /** The name of the one whose letters they are. */
  readonly source: string;
}

function plainGroup({ source, example, firstMs, lastMs, ...rest }: SourceGroup): unknown {
  return { source, ...rest, first: time(firstMs), last: time(lastMs), example: plainLetter(example, source) };
}

function describeGroups(list: readonly SourceGroup[], sources: readonly SourceLetters[]): string {
  const places = [...new Set(sources.flatMap(({ letters }) => letters.boxes.map(({ name }) => name)))].join(" and ");
  const isOfMany = sources.length > 1;
  if (list.length === 0) return `no dead letters in ${places}\n`;
  const colWidths = tableWidths([18, 9, 26], [0.4]);
  const table = new Table({
    head: [isOfMany ? "group, source" : "group", "letters", "first and last", "failure", "example"],
    colWidths,
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { source, fingerprint, count, firstMs, lastMs, eventTypes, example } of list) {
    const where = [example.skill || eventTypes.join(", "), example.step].filter((text) => text !== "").join(", step ");
    const row = [
      isOfMany ? `${fingerprint}\n${source}` : fingerprint,
      String(count),
      `${time(firstMs)}\n${time(lastMs)}`,
      `${example.class}: ${example.code}\n${where}`,
      `${example.eventId || example.messageId}: ${example.description}`,
    ];
    table.push(row.map((text, column) => fitted(printableLines(text), colWidths[column] ?? 0)));
  }
  const total = list.reduce((sum, { count }) => sum + count, 0);
  return `${counted(total, "dead letter")} in ${places}\n${table.toString()}\n`;
}

export async function show(options: ShowOptions): Promise<void> {
  await withLetters(options, async (sources) => {
    const shown: unknown[] = [];
    for (const source of sources) if (shown.length < options.limit) await showOf(source, options, shown);
    if (options.json === true) printJson(shown);
    else if (shown.length === 0) writeText("no such dead letters\n");
  });
}

/** Adds those of one source to what is `shown`, up to the limit of all. */
async function showOf({ letters, loaded }: SourceLetters, options: ShowOptions, shown: unknown[]): Promise<void> {
  await withStore(loaded, async (store) => {
    for await (const { letter, delivery } of selected(letters, options)) {
      if (shown.length === options.limit) return;
      const view = letter.eventId === "" ? undefined : await store.read(letter.eventId);
      const run = view === undefined ? "no record" : plainRun(view, undefined);
      const one = { ...plainLetter(letter, loaded.name), run, ...(options.bodies === true ? { body: bodyOf(delivery) } : {}) };
      shown.push(one);
      if (options.json !== true) writeText(`${describe(one)}\n`);
    }
  });
}

/** A line for each field that says something. */
function describe(letter: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(letter).flatMap(([name, value]) => {
    if (value === "" || value === undefined) return [];
    return [`${name.padEnd(15)} ${typeof value === "string" ? value : JSON.stringify(value, undefined, 2)}`];
  });
  return `${lines.join("\n")}\n`;
}

/** As JSON without what looks like a secret, where it is JSON. */
function bodyOf({ body }: Delivery): unknown {
  const json = parsedBody(body);
  return json === undefined ? `${counted(body.byteLength, "byte is", "bytes are")} no JSON` : redactValue(json);
}

function parsedBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

export async function exportLetters(options: ExportOptions): Promise<void> {
  await withLetters(options, async (sources) => {
    const { out, json } = options;
    if (out === undefined) return void (await exportTo(sources, options, writeResult));
    let written = 0;
    await writeNewFile("--out", out, async (file) => {
      written = await exportTo(sources, options, (line) => file.appendFile(line));
    });
    writeResult(json === true ? `${JSON.stringify({ written })}\n` : `${counted(written, "dead letter")} written to ${out}\n`);
  });
}

/** A line for each; answers how many there were. */
async function exportTo(sources: readonly SourceLetters[], options: ExportOptions, write: (line: string) => Promise<void> | void): Promise<number> {
  let written = 0;
  for (const { letters, loaded } of sources) {
    for await (const { letter, delivery } of selected(letters, options)) {
      if (options.out === undefined && isReaderGone()) return written;
      await write(`${JSON.stringify(wholeLetter(letter, delivery, loaded.name), plainValue)}\n`);
      written += 1;
    }
  }
  return written;
}

function wholeLetter(letter: Letter, delivery: Delivery, source: string): Readonly<Record<string, unknown>> {
  const json = parsedBody(delivery.body);
  const body = json === undefined ? { bodyBase64: Buffer.from(delivery.body).toString("base64") } : { body: json };
  const { contentType, subject } = delivery;
  return { ...plainLetter(letter, source), contentType, subject, ...delivery.particulars(), applicationProperties: delivery.headers(), ...body };
}

function plainValue(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** Noted in the records first: a letter that is gone was closed for a reason. False when some are left. */
export async function purge(options: PurgeOptions): Promise<boolean> {
  checkSelection(options);
  const byHand = byHandOf(options);
  return withOwnLetters(options, (letters, loaded) =>
    withStore(loaded, async (store) => {
      const wanted = new Map<DeadLetterBox, Set<bigint>>();
      const eventIds = new Set<string>();
      let found = 0;
      for await (const { letter } of selected(letters, options)) {
        wanted.set(letter.box, (wanted.get(letter.box) ?? new Set<bigint>()).add(letter.sequenceNumber));
        if (letter.eventId !== "") eventIds.add(letter.eventId);
        found += 1;
      }
      if (found !== options.count)
        throw new ConfigurationError(
          `--count: expected the number of dead letters that are meant, found ${options.count} where there are ${found}; nothing was deleted`,
        );
      await store.close([...eventIds], byHand);
      let deleted = 0;
      for (const [box, numbers] of wanted) deleted += (await take(box, numbers, { clock: systemClock, handle: () => Promise.resolve(true) })).completed;
      const left = found - deleted;
      const why = left === 0 ? "" : "; the others are locked, by a command that was killed or is at work: run it again in a few minutes, with their number";
      writeResult(options.json === true ? `${JSON.stringify({ deleted, left })}\n` : `${deleted} of ${counted(found, "dead letter")} deleted${why}\n`);
      return left === 0;
    }),
  );
}

async function withStore<T>({ config, directory }: LoadedSource, work: (store: RunStore) => Promise<T>): Promise<T> {
  checkStoreIsShared(config);
  const store = composeRunStore(config, directory);
  try {
    await store.start();
    return await work(store);
  } finally {
    await store.stop();
  }
}
