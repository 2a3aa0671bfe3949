// `holdfast broker inspect` and `holdfast broker fault`: they ask a broker that runs already.
import type { Command } from "commander";
import type * as Asking from "./ask.ts";
import type { ControlFlags, FaultFlags } from "./ask.ts";
import { faultKinds } from "../protocol/faults.ts";

const controlDefault = "http://127.0.0.1:5672";

/** Where commands write. */
export interface Terminal {
  readonly say: (text: string) => void;
  /** Says what went wrong, and makes the process end with 1. */
  readonly fail: (text: string) => void;
}

const processTerminal: Terminal = {
  say: (text) => void process.stdout.write(`${text}\n`),
  fail: (text) => {
    process.stderr.write(`${text}\n`);
    process.exitCode = 1;
  },
};

export function registerControlCommands(broker: Command, terminal: Terminal = processTerminal): void {
  const attempt = (run: (ask: typeof Asking) => Promise<string>): Promise<void> => orSayWhy(async () => terminal.say(await run(await import("./ask.ts"))), terminal);
  withControl(broker.command("inspect").description("tell what a running broker holds, who holds which lock, and which messages are in doubt").argument("[entity]", "a queue, `topic/Subscriptions/name`, or either with /$DeadLetterQueue"))
    .action((entity: string | undefined, flags: ControlFlags) => attempt(async ({ inspect }) => inspect(entity, flags)));
  const fault = broker.command("fault").description("make things go wrong in a running broker");
  const kinds = Object.entries(faultKinds).map(([kind, what]) => `  ${kind.padEnd(18)}${what}`);
  withControl(fault.command("add").description("add a fault").argument("<kind>", "what is to go wrong"))
    .option("--target <path>", "an entity's path, or its beginning followed by * (default: *)")
    .option("--rate <number>", "of how many occasions it strikes, 0 to 1 (default: 1)")
    .option("--seed <number>", "which occasions it strikes (default: 1)")
    .option("--count <number>", "hits after which it is over")
    .option("--duration <ms>", "milliseconds after which it is over")
    .option("--delay <ms>", "for delaySettlements: by how much (default: 1000)")
    .addHelpText("after", `\nKinds:\n${kinds.join("\n")}`)
    .action((kind: string, flags: FaultFlags) => attempt(async ({ addFault }) => addFault(kind, flags)));
  withControl(fault.command("list").description("list what goes wrong now")).action((flags: ControlFlags) =>
    attempt(async ({ listFaults }) => listFaults(flags)),
  );
  withControl(fault.command("clear").description("end a fault, or all of them").argument("[id]", "the fault's number")).action((id: string | undefined, flags: ControlFlags) =>
    attempt(async ({ clearFaults }) => clearFaults(id, flags)),
  );
}

/** Runs a command; trouble is told in a sentence. */
export async function orSayWhy(run: () => Promise<void>, terminal: Terminal = processTerminal): Promise<void> {
  try {
    await run();
  } catch (error) {
    terminal.fail(error instanceof Error ? error.message : String(error));
  }
}

function withControl(command: Command): Command {
  return command.option("--control <url>", "where the broker's control endpoint is", controlDefault).option("--json", "print JSON", false);
}
