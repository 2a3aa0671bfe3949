/** `holdfast dlq groups | show | export | purge`. */
import { open } from "node:fs/promises";
import Table from "cli-table3";
import { checkStoreIsShared, composeRunStore } from "../compose/store.ts";
import type { Delivery } from "../core/delivery.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import { printableLines } from "../core/printable.ts";
import { redactValue } from "../core/redact.ts";
import { replayReasonCharactersMax } from "../core/replay-order.ts";
import { systemClock } from "../adapters/system/clock.ts";
import type { DeadLetterBox } from "../ports/dead-letters.ts";
import type { RunStore } from "../ports/run-store.ts";
import { Groups, type LetterGroup } from "../recovery/groups.ts";
import { type Letter, scan } from "../recovery/letters.ts";
import { take } from "../recovery/take.ts";
import { checkSelection, plainLetter, printJson, selected, time, withLetters } from "./dlq-letters.ts";
import type { DlqOptions, ExportOptions, PurgeOptions, ShowOptions } from "./dlq-options.ts";
import type { LoadedSource } from "./load-source.ts";
import { writeResult, writeText } from "./output.ts";
import { plainRun } from "./runs-view.ts";
import { fitted, tableWidths } from "./table-widths.ts";

export async function groups(options: DlqOptions): Promise<void> {
  await withLetters(options, async (letters) => {
    const counted = new Groups();
    for await (const { letter } of scan(letters)) counted.add(letter);
    const list = counted.list();
    if (options.json === true)
      printJson(list.map(({ example, firstMs, lastMs, ...rest }) => ({ ...rest, first: time(firstMs), last: time(lastMs), example: plainLetter(example) })));
    else writeText(describeGroups(list, letters.boxes));
  });
}

function describeGroups(list: readonly LetterGroup[], boxes: readonly DeadLetterBox[]): string {
  const places = boxes.map(({ name }) => name).join(" and ");
  if (list.length === 0) return `no dead letters in ${places}\n`;
  const colWidths = tableWidths([18, 9, 26], [0.4]);
  const table = new Table({
    head: ["group", "letters", "first and last", "failure", "example"],
    colWidths,
    wordWrap: true,
    style: { head: [], border: [] },
  });
  for (const { fingerprint, count, firstMs, lastMs, eventTypes, example } of list) {
    const where = [example.skill || eventTypes.join(", "), example.step].filter((text) => text !== "").join(", step ");
    const row = [
      fingerprint,
      String(count),
      `${time(firstMs)}\n${time(lastMs)}`,
      `${example.class}: ${example.code}\n${where}`,
      `${example.eventId || example.messageId}: ${example.description}`,
    ];
    table.push(row.map((text, column) => fitted(printableLines(text), colWidths[column] ?? 0)));
  }
  const total = list.reduce((sum, { count }) => sum + count, 0);
  return `${total} dead letters in ${places}\n${table.toString()}\n`;
}

export async function show(options: ShowOptions): Promise<void> {
  await withLetters(options, (letters, loaded) =>
    withStore(loaded, async (store) => {
      const shown: unknown[] = [];
      for await (const { letter, delivery } of selected(letters, options)) {
        if (shown.length === options.limit) break;
        const view = letter.eventId === "" ? undefined : await store.read(letter.eventId);
        const run = view === undefined ? "no record" : plainRun(view, undefined);
        const one = { ...plainLetter(letter), run, ...(options.bodies === true ? { body: bodyOf(delivery) } : {}) };
        shown.push(one);
        if (options.json !== true) writeText(`${describe(one)}\n`);
      }
      if (options.json === true) printJson(shown);
      else if (shown.length === 0) writeText("no such dead letters\n");
    }),
  );
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
  return json === undefined ? `${body.byteLength} bytes that are no JSON` : redactValue(json);
}

function parsedBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}

/** Never over another file. */
export async function exportLetters(options: ExportOptions): Promise<void> {
  await withLetters(options, async (letters) => {
    const file = options.out === undefined ? undefined : await openNew(options.out);
    let written = 0;
    for await (const { letter, delivery } of selected(letters, options)) {
      const line = `${JSON.stringify(wholeLetter(letter, delivery), plainValue)}\n`;
      if (file === undefined) writeResult(line);
      else await file.appendFile(line);
      written += 1;
    }
    await file?.close();
    if (file !== undefined) writeResult(options.json === true ? `${JSON.stringify({ written })}\n` : `${written} dead letters written to ${options.out}\n`);
  });
}

async function openNew(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    throw new ConfigurationError(`--out: expected a file that can be made, found: ${messageOf(error, 200)}; name another`);
  }
}

function wholeLetter(letter: Letter, delivery: Delivery): Readonly<Record<string, unknown>> {
  const json = parsedBody(delivery.body);
  const body = json === undefined ? { bodyBase64: Buffer.from(delivery.body).toString("base64") } : { body: json };
  const { contentType, subject } = delivery;
  return { ...plainLetter(letter), contentType, subject, ...delivery.particulars(), applicationProperties: delivery.headers(), ...body };
}

function plainValue(_name: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** Noted in the records first: a letter that is gone was closed for a reason. False when some are left. */
export async function purge(options: PurgeOptions): Promise<boolean> {
  checkSelection(options);
  if (options.reason.trim() === "" || options.reason.length > replayReasonCharactersMax)
    throw new ConfigurationError(`--reason: expected 1 to ${replayReasonCharactersMax} characters, found ${options.reason.length}`);
  return withLetters(options, (letters, loaded) =>
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
      await store.close([...eventIds], options.reason);
      let deleted = 0;
      for (const [box, numbers] of wanted) deleted += (await take(box, numbers, { clock: systemClock, handle: () => Promise.resolve(true) })).completed;
      const left = found - deleted;
      const why = left === 0 ? "" : "; the others are locked, by a command that was killed or is at work: run it again in a few minutes, with their number";
      writeResult(options.json === true ? `${JSON.stringify({ deleted, left })}\n` : `${deleted} of ${found} dead letters deleted${why}\n`);
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
