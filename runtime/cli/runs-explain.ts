/** `holdfast runs explain`: one event's whole story, and why it waits. */
import { counted } from "../core/counted.ts";
import { composeLetters, composeQueues } from "../compose/dead-letters.ts";
import type { StepRecord } from "../core/run.ts";
import { type Story, storyOf } from "../recovery/runs-explain.ts";
import { findMessages } from "../recovery/runs-messages.ts";
import { skillOf } from "../recovery/runs-progress.ts";
import { decodeStep } from "../skills/host/step-codec.ts";
import { printJson, time } from "./dlq-letters.ts";
import { readLogs } from "./runs-log.ts";
import type { ExplainOptions } from "./runs-options.ts";
import { chooseByEvent, unknownEvent, withRecords } from "./runs-records.ts";
import { type Plain, stepInDoubt, stepState } from "./runs-view.ts";
import { writeNote, writeText } from "./output.ts";

export async function explain(eventId: string, options: ExplainOptions): Promise<void> {
  await withRecords(await chooseByEvent(options, eventId, "or-message"), async (open) => {
    const { loaded, store, kinds } = open;
    const logged = await readLogs(options.log, eventId);
    const [queues, letters] = await Promise.all([composeQueues(loaded.config), composeLetters(loaded.config, options.forwardedTo)]);
    try {
      const found = await findMessages(queues, letters, eventId, options.peek);
      // The record last: what was in no queue may have been on its way from one to another.
      const view = await store.read(eventId);
      if (view === undefined && found.messages.length + found.letters.length + logged.length === 0) throw await unknownEvent(open, eventId);
      const kind = view && kinds.get(view.pipelineHash);
      const story = storyOf({ view, kind, found, logged, nowMs: Date.now(), describeStep, inDoubt: view && stepInDoubt(view.steps) });
      const skill = view === undefined ? "" : skillOf(view, kind);
      const eventType = kind?.eventType ?? found.messages[0]?.eventType ?? found.letters[0]?.eventType ?? "";
      const head = { eventId, skill, eventType, state: view?.state ?? "no record" };
      if (options.json === true) printJson({ ...head, ...plainStory(story), notLookedThrough: found.cutShort });
      else writeText(describe(head, story));
      if (found.cutShort.length > 0)
        writeNote(`${found.cutShort.join(" and ")}: looked at the first ${counted(options.peek, "message")}; --peek says how many`);
    } finally {
      for (const box of [...queues, ...letters.boxes]) await box.stop();
    }
  });
}

export function describeStep(step: StepRecord): string {
  const decoded = step.state === "completed" ? decodeStep(step) : undefined;
  const emitted = decoded === undefined || decoded.emitted.length === 0 ? "" : `, ${counted(decoded.emitted.length, "event")} emitted`;
  return `${stepState(step)}, ${counted(step.result.length, "byte")}${decoded === undefined ? "" : `, ${decoded.quality}`}${emitted}`;
}

export function plainStory({ moments, now, untilMs, isStuck }: Story): Plain {
  return { story: moments.map(({ atMs, ...rest }) => ({ at: time(atMs), ...rest })), now, until: untilMs === undefined ? null : time(untilMs), isStuck };
}

function describe(head: Readonly<Record<string, string>>, { moments, now, untilMs }: Story): string {
  const title = Object.values(head).filter((text) => text !== "");
  const lines = moments.map(({ atMs, source, text }) => `${time(atMs)}  ${source.padEnd(11)}  ${text}`);
  return `${[title.join(", "), ...lines, `now: ${now}${untilMs === undefined ? "" : `, until ${time(untilMs)}`}`].join("\n")}\n`;
}
