/** Whether what was sent has ended as it must, message by message: by the broker's record, and by what the handlers have noted. */
import type { Ended } from "#load/generator/drive.ts";
import type { PlainMessage } from "#load/generator/plain.ts";
import type { Guard } from "./document.ts";

export interface Evidence {
  readonly sent: readonly Pick<PlainMessage, "message" | "index" | "kind">[];
  /** Of each message id, what became of it, in order. */
  readonly outcomes: ReadonlyMap<string, readonly string[]>;
  /** What was done; undefined where nobody works. */
  readonly done: Iterable<Pick<Ended, "place">> | undefined;
}

export interface Verdict {
  readonly sent: number;
  /** Not settled, or completed without having been worked on. */
  readonly lost: readonly string[];
  /** Settled otherwise than it should be. */
  readonly wrong: readonly string[];
  /** Worked on to the end more than once. */
  readonly twice: readonly string[];
}

/** What is left is not settled. */
const ends: ReadonlySet<string> = new Set(["completed", "deadLettered"]);

export function judge({ sent, outcomes, done }: Evidence): Verdict {
  const lost = new Set<string>();
  const wrong: string[] = [];
  const twice: string[] = [];
  const counts = new Map<number, number>();
  for (const { place } of done ?? []) counts.set(place, (counts.get(place) ?? 0) + 1);
  for (const { message, index, kind } of sent) {
    const end = outcomes.get(message.messageId)?.at(-1) ?? "";
    if (!ends.has(end)) lost.add(message.messageId);
    else if ((end === "deadLettered") !== (kind === "poison")) wrong.push(message.messageId);
    if (done === undefined || kind !== "first" || end === "deadLettered") continue;
    const times = counts.get(index) ?? 0;
    if (times === 0) lost.add(message.messageId);
    else if (times > 1) twice.push(message.messageId);
  }
  return { sent: sent.length, lost: [...lost], wrong, twice };
}

/** All of it, for a guard each. */
export function guardsOf(what: string, verdicts: readonly Verdict[]): readonly Guard[] {
  const guard = (name: string, of: (verdict: Verdict) => readonly string[]): Guard => {
    const ids = verdicts.flatMap(of);
    return { what: `${what}: ${name}`, wrong: ids.length, examples: ids.slice(0, 3) };
  };
  return [guard("lost", ({ lost }) => lost), guard("settled wrong", ({ wrong }) => wrong), guard("done twice", ({ twice }) => twice)];
}
