/** Whether sessions kept their order, by what the dependency saw and what the broker has. */
import type { EffectCall } from "../effects/effect-ledger.ts";
import { strangeStep } from "./plugin.ts";

export interface Kept {
  readonly sessions: readonly string[];
  readonly messages: number;
  readonly calls: readonly Pick<EffectCall, "eventId" | "step" | "key">[];
  /** Event ids. */
  readonly deadLettered: ReadonlySet<string>;
  readonly isDoomed: (index: number) => boolean;
}

export interface OrderVerdict {
  readonly violations: readonly string[];
  /** Calls that came again, at once and under the same key. */
  readonly repeats: number;
}

export function eventIdOf(session: string, index: number): string {
  return `${session}/${index}`;
}

export function judgeOrder({ sessions, messages, calls, deadLettered, isDoomed }: Kept): OrderVerdict {
  const violations: string[] = [];
  let repeats = 0;
  const bySession = new Map<string, Kept["calls"][number][]>(sessions.map((session) => [session, []]));
  for (const call of calls) {
    if (call.step === strangeStep) violations.push(`${call.eventId} found another state than the message before it had left`);
    else bySession.get(call.eventId.split("/")[0] ?? "")?.push(call);
  }
  for (const [session, seen] of bySession) {
    let next = 0;
    let last: Kept["calls"][number] | undefined;
    for (const call of seen) {
      if (call.eventId === last?.eventId) {
        repeats += 1;
        if (call.key !== last.key) violations.push(`${call.eventId} was called for under two keys`);
        continue;
      }
      const expected = eventIdOf(session, next);
      if (call.eventId !== expected) violations.push(`session ${session}: expected the effect of ${expected}, found that of ${call.eventId}`);
      last = call;
      next += 1;
    }
    if (next !== messages) violations.push(`session ${session}: expected ${messages} effects, found ${next}`);
    for (let index = 0; index < messages; index += 1) {
      const eventId = eventIdOf(session, index);
      if (deadLettered.has(eventId) !== isDoomed(index))
        violations.push(isDoomed(index) ? `${eventId} fails at each try, and was not dead-lettered` : `${eventId} was dead-lettered`);
    }
  }
  return { violations, repeats };
}
