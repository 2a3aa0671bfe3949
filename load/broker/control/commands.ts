// `holdfast broker inspect` and `holdfast broker fault`: they ask a broker that runs already.
import { type Command, Option } from "commander";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { faultKinds } from "../protocol/faults.ts";
import type * as Asking from "./ask.ts";
import type { ControlFlags, FaultFlags, InspectFlags } from "./ask.ts";

/** Where commands write. */
export interface Terminal {
  readonly say: (text: string) => void;
  /** Says what went wrong, and makes the process end with this code. */
  readonly fail: (text: string, code: number) => void;
  /** Columns. Default: 80. */
  readonly width?: number;
}

const processTerminal: Terminal = {
  say: (text) => void process.stdout.write(`${text}\n`),
  fail: (text, code) => {
    process.stderr.write(`holdfast: ${text}\n`);
    process.exitCode = code;
  },
  ...(process.stdout.isTTY ? { width: process.stdout.columns } : {}),
};

const widthDefault = 80;

/** In 80 columns, as all help here. */
const inspectHelp = `
Examples:
  holdfast broker inspect                            all entities, by state
  holdfast broker inspect orders                     one: locks, doubts, totals
  holdfast broker inspect orders --messages --top 20 its messages, page by page
  holdfast broker inspect 'orders/$DeadLetterQueue' --messages --bodies
  holdfast broker inspect news/Subscriptions/audit --doubt --json

A message is in doubt when a lock on it ended without a settlement: its work may
have been done or not. Totals count since the broker started.`;

const kindsHelp = `
Kinds (in this form or in-this-one):
${Object.entries(faultKinds)
  .map(([kind, what]) => `  ${kind.padEnd(17)} ${what}`)
  .join("\n")}`;

const faultHelp = `${kindsHelp}

detach, drop and expireLocks without --rate happen once, to everything at the
target. All others, and those with a rate, strike as often as the rate says,
until --count, --duration or \`fault clear\` ends them. The same seed strikes at
the same occasions: each fault draws a number for each occasion at its target.

Examples:
  holdfast broker fault add throttle --target orders --rate 0.2 --seed 7
  holdfast broker fault add detach --target 'news/Subscriptions/*'
  holdfast broker fault add drop --rate 0.01 --duration 60000
  holdfast broker fault add expire-locks --target orders --rate 0.1
  holdfast broker fault add delay-settlements --delay 5000 --count 10
  holdfast broker fault add lose-settlements --target orders --count 1
  holdfast broker fault add deliver-twice --target orders --rate 0.05
  holdfast broker fault add hold-deliveries --target orders --duration 10000
  holdfast broker fault add fail-tokens --rate 0.5`;

export function registerControlCommands(broker: Command, terminal: Terminal = processTerminal): void {
  const width = Math.max(widthDefault, terminal.width ?? widthDefault);
  const attempt = (run: (ask: typeof Asking) => Promise<string>): Promise<void> =>
    orSayWhy(async () => terminal.say(await run(await import("./ask.ts"))), terminal);
  withControl(
    broker
      .command("inspect")
      .description("show what a running broker holds, who holds which lock, and which messages are in doubt")
      .argument("[entity]", "a queue, topic, `topic/Subscriptions/name`, or any with /$DeadLetterQueue"),
  )
    .option("--messages", "list its messages")
    .option("--state <state>", "list those that are active, locked, scheduled or deferred")
    .option("--doubt", "list those in doubt")
    .option("--bodies", "list them with what is in them, the first 4096 bytes of each")
    .option("--from <number>", "sequence number to begin at")
    .option("--top <number>", "how many at most, 1 to 1000 (default: 20)")
    .addHelpText("after", inspectHelp)
    .action((entity: string | undefined, flags: InspectFlags) => attempt(async ({ inspect }) => inspect(entity, flags, width)));
  const fault = broker
    .command("fault")
    .description("make things go wrong in a running broker")
    .addHelpText("after", `${kindsHelp}\n\n\`holdfast broker fault add --help\` has examples.`);
  withControl(fault.command("add").description("add a fault").argument("<kind>", "what is to go wrong"))
    .showHelpAfterError("`holdfast broker fault add --help` lists the kinds")
    .option("--target <path>", "an entity's path, or its beginning followed by * (default: *)")
    .option("--rate <number>", "of how many occasions it strikes, 0 to 1 (default: 1)")
    .option("--seed <number>", "which occasions it strikes (default: 1)")
    .option("--count <number>", "hits after which it ends")
    .option("--duration <ms>", "milliseconds after which it ends")
    .option("--delay <ms>", "for delaySettlements: by how much (default: 1000)")
    .addHelpText("after", faultHelp)
    .action((kind: string, flags: FaultFlags) => attempt(async ({ addFault }) => addFault(kind, flags, width)));
  withControl(fault.command("list").description("list what goes wrong now")).action((flags: ControlFlags) =>
    attempt(async ({ listFaults }) => listFaults(flags, width)),
  );
  withControl(fault.command("clear").description("end a fault, or all of them").argument("[id]", "the fault's number")).action(
    (id: string | undefined, flags: ControlFlags) => attempt(async ({ clearFaults }) => clearFaults(id, flags)),
  );
}

/** Runs a command; trouble is reported in a sentence. */
export async function orSayWhy(run: () => Promise<void>, terminal: Terminal = processTerminal): Promise<void> {
  try {
    await run();
  } catch (error) {
    terminal.fail(error instanceof Error ? error.message : String(error), isUsage(error) ? exitCodes.usage : exitCodes.failed);
  }
}

/** Codes of the errors that say that flags or files cannot be used. They are recognised by code, so that their classes need not be loaded. */
const usageCodes: ReadonlySet<unknown> = new Set(["BrokerUsage", "BrokerConfig", "BrokerHost", "AccessKey", "Certificate", "JournalFolder"]);

function isUsage(error: unknown): boolean {
  return error instanceof Error && "code" in error && usageCodes.has(error.code);
}

function withControl(command: Command): Command {
  return command
    .option("--control <url>", "where the broker's control endpoint is (default: http://127.0.0.1:5672)")
    .addOption(new Option("--connection-string <text>", "for a broker with keys: one with all rights").env("HOLDFAST_BROKER"))
    .option("--json", "print JSON");
}
