/** The first seconds of `holdfast dev`, which warms its world up before it sends: beside the rate that it comes to. */
import { spawn } from "node:child_process";
import { extname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Summary } from "#load/dev/verdict.ts";

/** Some seconds more than are looked at. */
const events = 12_000;
/** Where the rest of the stream begins, in which the last messages end one by one. */
const steadyUntil = 0.9;
const steadyFromSecond = 3;

/** The line that has it is the account. */
const account: keyof Summary = "throughputBySecond";

export interface FirstSeconds {
  /** Messages that ended in the first second and in the third, as parts of what ends in a second later on. */
  readonly first: number;
  readonly third: number;
  readonly steadyPerSecond: number;
}

export interface Trial {
  readonly found: FirstSeconds;
  /** The account found nothing lost, done twice or otherwise than expected. Known once the trial's world is gone. */
  readonly isSound: Promise<boolean>;
}

/** Resolves with the account; the next trial can begin while this one puts its world away. */
export async function firstSeconds(): Promise<Trial> {
  const root = resolve(import.meta.dirname, "../..");
  const main = join(root, `runtime/cli/main${extname(import.meta.filename)}`);
  const child = spawn(process.execPath, [main, "dev", "--no-open", "--events", String(events)], { cwd: root, stdio: ["ignore", "pipe", "ignore"] });
  const exited = new Promise<number | null>((done) => child.once("exit", done));
  const isSound = exited.then((code) => code === 0);
  for await (const line of createInterface(child.stdout)) {
    // Among lines of its log.
    if (line.startsWith("{") && line.includes(account)) return { found: sharesOf((JSON.parse(line) as Summary).throughputBySecond), isSound };
  }
  throw new Error(`expected the account of holdfast dev, it ended with ${await exited}`);
}

/** What the first and the third second are of the mean of those between the third and the last part; of the best one where there are none. */
export function sharesOf(bySecond: readonly number[]): FirstSeconds {
  const all = sum(bySecond);
  let ended = 0;
  const steady = bySecond.filter((count, second) => {
    ended += count;
    return second >= steadyFromSecond && ended <= steadyUntil * all;
  });
  const steadyPerSecond = steady.length === 0 ? Math.max(...bySecond) : sum(steady) / steady.length;
  return { first: (bySecond[0] ?? 0) / steadyPerSecond, third: (bySecond[2] ?? 0) / steadyPerSecond, steadyPerSecond };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, number) => all + number, 0);
}
