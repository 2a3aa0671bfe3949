/** What the commands of all benches share. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type Plant, plant, plants } from "./plant.ts";

export const helpWidth = 120;

export interface BenchCommand {
  readonly name: string;
  /** One line, for the list of benches. */
  readonly summary: string;
  /** What is measured and against what. */
  readonly about: string;
}

/** A command with the options that all benches have. */
export function benchCommand({ name, summary, about }: BenchCommand): Command {
  return new Command(name)
    .summary(summary)
    .description(about)
    .configureHelp({ helpWidth })
    .option("--json [file]", "print one JSON document with every sample, or write it to a file")
    .option("--check", "exit with 1 when a target is missed");
}

/** A bench that is one of the scenarios of `all`. */
export function scenarioCommand(about: BenchCommand, plantable: readonly Plant[] = plants): Command {
  const command = benchCommand(about).option("--quick", "a shorter form, which takes less than a minute");
  if (plantable.length === 0) return command;
  return command.addOption(new Option("--plant <fault>", "a fault that must fail the run, to see that the guards would find one").choices(plantable));
}

/** Runs a bench that is loaded only when it is wanted; its answer is the exit code. */
export function runs(command: Command, load: () => Promise<{ readonly run: (options: never) => Promise<number> }>): Command {
  return command.action(async (options: { readonly plant?: Plant }) => {
    plant(options.plant);
    const { run } = await load();
    process.exitCode = await run(options as never);
  });
}

/** Reads a whole number from `least` on. */
export function atLeast(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least || text.trim() === "") throw new InvalidArgumentError(`Expected a whole number of ${least} or more.`);
    return value;
  };
}

/** Reads names out of `known`, separated by commas. */
export function namesOf(known: readonly string[]): (text: string) => readonly string[] {
  return (text) => {
    const names = text.split(",").map((name) => name.trim());
    const strange = names.filter((name) => !known.includes(name));
    if (strange.length > 0) throw new InvalidArgumentError(`Expected some of ${known.join(", ")}.`);
    return names;
  };
}
