// What the broker reports of itself, as tables for a terminal of 80 columns or more.
import Table from "cli-table3";
import type { BrokerInspection, InspectedMessage, InspectedSession, MessagePage, QueueInspection, TopicInspection } from "../inspection.ts";
import type { FaultReport } from "../protocol/faults.ts";

interface Column {
  readonly head: string;
  /** Characters; undefined = what the others leave. One column has no width. A column of numbers is as wide as they are. */
  readonly width?: number;
  /** Numbers stand on the right. */
  readonly isNumber?: boolean;
}

type Row = readonly (string | number)[];

/** Rows of a list that is part of a larger account. */
const rowsMax = 20;
const pathWidthMin = 12;

/** Lines without borders; what does not fit into its column goes on below. */
function tableOf(columns: readonly Column[], rows: readonly Row[], width: number): string {
  const widths = columns.map((column, i) =>
    column.isNumber === true ? Math.max(column.head.length, ...rows.map((row) => String(row[i]).length)) : column.width,
  );
  const taken = widths.reduce<number>((sum, each) => sum + (each ?? 0), columns.length - 1);
  const edges = [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
  ];
  const table = new Table({
    head: columns.map(({ head }) => head),
    colWidths: widths.map((each, i) => each ?? Math.min(Math.max(pathWidthMin, width - taken), widestOf(columns[i]?.head ?? "", rows, i))),
    colAligns: columns.map(({ isNumber }) => (isNumber === true ? "right" : "left")),
    chars: { ...Object.fromEntries(edges.map((edge) => [edge, ""])), middle: " " },
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0 },
    wordWrap: true,
    wrapOnWordBoundary: false,
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** The longest line of a column. */
function widestOf(head: string, rows: readonly Row[], i: number): number {
  const lines = rows.flatMap((row) => String(row[i]).split("\n"));
  return Math.max(head.length, ...lines.map((line) => line.length));
}

/** Leaves out the columns in which there is nothing but zeros. */
function withoutZeros(columns: readonly Column[], rows: readonly Row[], kept: ReadonlySet<string>): { columns: Column[]; rows: Row[] } {
  const isShown = columns.map(({ head }, i) => kept.has(head) || rows.some((row) => row[i] !== 0));
  return { columns: columns.filter((_, i) => isShown[i]), rows: rows.map((row) => row.filter((_, i) => isShown[i])) };
}

const number = (head: string): Column => ({ head, isNumber: true });

const queueColumns: readonly Column[] = [
  { head: "entity" },
  number("active"),
  number("locked"),
  number("sched"),
  number("defer"),
  number("dead"),
  number("in"),
  number("done"),
  number("released"),
  number("links"),
];

/** Every entity with what it holds. `connections` undefined = the account is of one entity. */
export function inspectionTable(
  { connections, queues, topics }: Omit<BrokerInspection, "connections"> & { readonly connections: number | undefined },
  width: number,
): string {
  const parts: string[] = [];
  const shown = Object.values(queues).filter(isShown).map(queueRow);
  if (shown.length > 0) {
    const { columns, rows } = withoutZeros(queueColumns, shown, new Set(["entity", "active", "locked", "done"]));
    parts.push(tableOf(columns, rows, width));
  }
  if (Object.keys(topics).length > 0) parts.push(topicsTable(Object.values(topics), width));
  if (parts.length === 0) parts.push("no entities");
  if (connections !== undefined) parts.push(`${connections} ${connections === 1 ? "connection" : "connections"}`);
  return parts.join("\n\n");
}

/** Dead letters are counted where they came from; their own queue is shown when somebody works on it. */
function isShown({ kind, states, receivers, totals }: QueueInspection): boolean {
  return kind !== "deadLetterQueue" || states.locked > 0 || receivers > 0 || totals.completed > 0;
}

function queueRow({ path, states: { active, locked, scheduled, deferred, deadLettered }, totals, receivers }: QueueInspection): Row {
  return [
    path,
    active,
    locked,
    scheduled,
    deferred,
    deadLettered,
    totals.accepted + totals.scheduledAccepted + totals.movedIn,
    totals.completed + totals.receivedAndDeleted,
    totals.released,
    receivers,
  ];
}

function topicsTable(topics: readonly TopicInspection[], width: number): string {
  const columns = [{ head: "topic" }, number("sched"), number("in"), number("copied"), number("unmatched"), number("subs")];
  const rows = topics.map(({ path, scheduled, totals, subscriptions }) => [
    path,
    scheduled,
    totals.accepted + totals.scheduledAccepted,
    totals.copied,
    totals.unmatched,
    subscriptions.length,
  ]);
  return tableOf(columns, rows, width);
}

/** One entity: what happened to it, who holds what, and which messages are in doubt. */
export function entityTable(queue: QueueInspection, locked: MessagePage, inDoubt: MessagePage, width: number): string {
  const { states, totals, receivers } = queue;
  const held = Object.entries(states).map(([state, count]) => `${Number(count)} ${words(state)}`);
  const happened = Object.entries(totals).filter(([, count]) => count > 0);
  const parts = [`${words(queue.kind)} ${queue.path}`, [...held, `${receivers} ${receivers === 1 ? "receiver" : "receivers"}`].join(", ")];
  if (happened.length > 0) parts.push(`since the broker started: ${happened.map(([name, count]) => `${Number(count)} ${words(name)}`).join(", ")}`);
  const lines = [parts.map((part) => wrapped(part, width)).join("\n")];
  if (locked.messages.length > 0) lines.push(lockedTable(locked, width));
  const sessions = (queue.sessions ?? []).filter(({ lock }) => lock !== null);
  if (sessions.length > 0) lines.push(sessionsTable(sessions, width));
  if (inDoubt.messages.length > 0) lines.push(doubtTable(inDoubt, width));
  return lines.join("\n\n");
}

function lockedTable({ messages, next }: MessagePage, width: number): string {
  const holders = new Holders();
  const columns = [number("number"), { head: "locked message" }, number("tries"), { head: "ends", width: 9 }, { head: "by", width: 3 }];
  const rows = messages
    .slice(0, rowsMax)
    .map(({ sequenceNumber, messageId, deliveryCount, lock }) => [
      sequenceNumber,
      messageId,
      deliveryCount,
      untilOf(lock?.until),
      holders.letterOf(lock?.holder),
    ]);
  return tableOf(columns, rows, width) + more(next !== null || messages.length > rowsMax, "--state locked") + holders.legend(width);
}

function sessionsTable(sessions: readonly InspectedSession[], width: number): string {
  const holders = new Holders();
  const rows = sessions.slice(0, rowsMax).map(({ sessionId, lock }) => [sessionId, untilOf(lock?.until), holders.letterOf(lock?.holder)]);
  return (
    tableOf([{ head: "locked session" }, { head: "ends", width: 9 }, { head: "by", width: 3 }], rows, width) +
    more(sessions.length > rowsMax) +
    holders.legend(width)
  );
}

/** Those who hold locks have long names: a table has a letter for each, which is explained below it. */
class Holders {
  readonly #letters = new Map<string, string>();

  letterOf(holder: string | undefined): string {
    if (holder === undefined) return "";
    const letter =
      this.#letters.get(holder) ?? String.fromCodePoint((this.#letters.size % 26) + "a".charCodeAt(0)).repeat(Math.floor(this.#letters.size / 26) + 1);
    this.#letters.set(holder, letter);
    return letter;
  }

  legend(width: number): string {
    return [...this.#letters].map(([holder, letter]) => `\n${wrapped(`${letter} = ${holder}`, width)}`).join("");
  }
}

function doubtTable({ messages, next }: MessagePage, width: number): string {
  const columns = [number("number"), { head: "message in doubt" }, number("tries"), { head: "state", width: 9 }];
  const rows = messages.slice(0, rowsMax).map(({ sequenceNumber, messageId, deliveryCount, state }) => [sequenceNumber, messageId, deliveryCount, state]);
  return tableOf(columns, rows, width) + more(next !== null || messages.length > rowsMax, "--doubt");
}

function more(isMore: boolean, flag?: string): string {
  return isMore ? `\n… and more${flag === undefined ? "" : `: ${flag} lists them`}` : "";
}

/** A page of messages; `next` is the command for the next one. */
export function messagesTable(messages: readonly InspectedMessage[], next: string | undefined, width: number): string {
  if (messages.length === 0) return next === undefined ? "no messages" : `none among those looked through; go on with: ${next}`;
  const columns = [number("number"), { head: "message" }, { head: "state", width: 9 }, number("tries"), { head: "came", width: 19 }, number("bytes")];
  const rows = messages.map((message) => [
    message.sequenceNumber,
    `${printable(message.messageId)}${remarkOf(message)}`,
    message.state,
    message.deliveryCount,
    message.enqueuedAt.slice(0, 19).replace("T", " "),
    message.bytes,
  ]);
  const table = [
    tableOf(columns, rows, width),
    ...messages.flatMap(({ sequenceNumber, body, bytes }) => (body === undefined ? [] : [bodyText(sequenceNumber, body, bytes)])),
  ].join("\n\n");
  return next === undefined ? table : `${table}\n\nnext: ${next}`;
}

function bodyText(sequenceNumber: number, { kind, value, isCut }: NonNullable<InspectedMessage["body"]>, bytes: number): string {
  const how = kind === "text" ? "" : kind === "base64" ? ", as base64" : ", an AMQP value as JSON";
  return `body of ${sequenceNumber}${how}${isCut ? `, its beginning (the message has ${bytes} bytes)` : ""}:\n${printable(value)}`;
}

/** Nothing in a message may move the terminal's cursor; lines and tabs are left. */
function printable(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]|\p{Cf}/gu, (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`);
}

/** What is worth knowing of a message besides, below its id. */
function remarkOf({ eventType, sessionId, inDoubt, lock, scheduledFor, deadLetterReason, deadLetterDescription }: InspectedMessage): string {
  const remarks: string[] = [];
  if (eventType !== null) remarks.push(eventType);
  if (sessionId !== null) remarks.push(`session ${sessionId}`);
  if (inDoubt) remarks.push("in doubt");
  if (lock !== null) remarks.push(`lock ends ${untilOf(lock.until)}`);
  if (scheduledFor !== null) remarks.push(`due ${untilOf(scheduledFor)}`);
  if (deadLetterReason !== null) remarks.push(`${deadLetterReason}${deadLetterDescription === null ? "" : `: ${deadLetterDescription}`}`);
  return remarks.map((remark) => `\n ${printable(remark)}`).join("");
}

/** "in 25 s". */
function untilOf(at: string | undefined): string {
  if (at === undefined) return "";
  const seconds = Math.round((Date.parse(at) - Date.now()) / 1000);
  if (seconds < 0) return "now";
  if (seconds < 120) return `in ${seconds} s`;
  if (seconds < 7200) return `in ${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `in ${Math.round(seconds / 3600)} h` : `in ${Math.round(seconds / 86_400)} d`;
}

/** `deadLettered` as it is said. */
function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** Breaks a sentence at its spaces. */
function wrapped(text: string, width: number): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) ?? "";
    if (line !== "" && line.length + 1 + word.length > width) lines.push(`  ${word}`);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join("\n");
}

export function faultsTable(faults: readonly FaultReport[], width: number): string {
  const columns = [
    number("id"),
    { head: "kind", width: 17 },
    { head: "target" },
    number("rate"),
    number("seed"),
    number("hits"),
    { head: "ends after", width: 18 },
  ];
  const rows = faults.map((fault) => [
    fault.id,
    fault.kind === "delaySettlements" ? `${fault.kind}\n by ${fault.delayMs} ms` : fault.kind,
    fault.target,
    fault.rate,
    fault.seed,
    fault.hits,
    endOf(fault),
  ]);
  return tableOf(columns, rows, width);
}

function endOf({ left, leftMs }: FaultReport): string {
  const ends = [...(left === null ? [] : [`${left} more`]), ...(leftMs === null ? [] : [`${Math.ceil(leftMs / 1000)} s`])];
  return ends.length === 0 ? "fault clear" : ends.join(" or ");
}
