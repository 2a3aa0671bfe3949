/** `holdfast runs release` of many parked runs at once, by what they have in common. */
import { systemClock } from "../adapters/system/clock.ts";
import { counted } from "../core/counted.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { ByHand } from "../core/history.ts";
import type { Letter } from "../recovery/letters.ts";
import { findParked, lettersOfParked, type ParkedRun, releaseParked, type Statement } from "../recovery/release-group.ts";
import { describeReplay } from "./dlq-background.ts";
import { printJson } from "./dlq-letters.ts";
import { writeNote, writeText } from "./output.ts";
import type { ReleaseOptions } from "./runs-options.ts";
import { withChange } from "./runs-change.ts";
import { chooseSource, type OpenRecords } from "./runs-records.ts";

const perSecond = 50;

/** False where some are left. */
export async function releaseGroup(options: ReleaseOptions, statement: Statement, byHand: ByHand): Promise<boolean> {
  checkSelection(options);
  const find = (open: Pick<OpenRecords, "records" | "store" | "kinds" | "signal">): Promise<readonly ParkedRun[]> =>
    findParked({ ...open, clock: systemClock }, { groups: options.group, skill: options.skill, step: options.step });
  const chosen = await chooseSource(options, "there are such parked runs", async (open) => (await find(open)).length > 0);
  return withChange(chosen, async (open) => {
    const { records, letters, surroundings, signal } = open;
    const runs = await find(open);
    const own = await lettersOfParked(letters, surroundings.hashPayload, runs);
    if (options.dryRun === true) {
      tellPlan(options, runs, own);
      return true;
    }
    if (runs.length !== options.count)
      throw new ConfigurationError(
        `--count: expected the number of parked runs that are meant, found ${options.count ?? "none"} where there are ${runs.length}; nothing was changed; --dry-run shows them`,
      );
    const reports = await releaseParked(
      letters,
      runs,
      own,
      statement,
      { ...surroundings, records },
      {
        ...byHand,
        perSecond,
        waitMs: options.wait * 1_000,
        failuresMax: 0,
        signal,
        progress: (report) => writeNote(describeReplay(report)),
      },
    );
    const left = runs.length - reports.reduce((sum, { completed }) => sum + completed, 0);
    if (options.json === true) printJson({ runs: runs.length, left, withoutLetter: runs.length - own.size, groups: reports, dryRun: false });
    else
      writeText(`${runs.length - left} of ${counted(runs.length, "parked run")} released by ${byHand.who} and done${leftText(left, runs.length - own.size)}\n`);
    return left === 0;
  });
}

function checkSelection({ group, skill, step, message }: ReleaseOptions): void {
  if (group.length > 0 && skill !== undefined) throw new ConfigurationError("expected either --group, or --skill and --step, found both");
  if (skill !== undefined && step === undefined) throw new ConfigurationError("--step: expected the step that runs of --skill are parked for, found none");
  if (message !== undefined)
    throw new ConfigurationError("--message: expected no message beside a group, found one; release the run whose message it is by its event's id");
}

function leftText(left: number, withoutLetter: number): string {
  if (left === 0) return "";
  const missing = withoutLetter === 0 ? "" : `, ${withoutLetter} of which have no dead letter: release those one by one, with --message`;
  return `; ${left} left${missing}; run it again, with their number, once what stopped them is mended`;
}

function tellPlan({ json, done }: ReleaseOptions, runs: readonly ParkedRun[], own: ReadonlyMap<string, Letter>): void {
  const groups = [...Map.groupBy(runs, ({ fingerprint, skill, step }) => JSON.stringify([fingerprint, skill, step])).values()].map((some) => {
    const { fingerprint = "", skill = "", step = "" } = some[0] ?? {};
    const withLetter = some.filter(({ view }) => own.has(view.key.eventId)).length;
    return { fingerprint, skill, step, runs: some.length, withoutLetter: some.length - withLetter };
  });
  if (json === true) return printJson({ runs: runs.length, withoutLetter: runs.length - own.size, groups, dryRun: true });
  const lines = groups.map(
    ({ fingerprint, skill, step, runs: count, withoutLetter }) =>
      `${fingerprint}: ${counted(count, "run")} of skill ${skill}, step ${step}${withoutLetter === 0 ? "" : `; ${withoutLetter} without a dead letter`}`,
  );
  const what = `${counted(runs.length, "parked run")} would be released, the step as ${done === true ? "done" : "not done"}`;
  writeText(runs.length === 0 ? "no such parked runs\n" : `dry run: ${what}; --count ${runs.length} does it\n${lines.join("\n")}\n`);
}
