// `holdfast broker inspect` and `holdfast broker fault`: they ask a broker that runs already.
import type { Command } from "commander";
import type { BrokerInspection, MessagePage, QueueInspection, TopicInspection } from "../inspection.ts";
import { faultKinds, type FaultReport } from "../protocol/faults.ts";
import { askControl } from "./client.ts";
import { entityTable, faultsTable, inspectionTable } from "./tables.ts";

const controlDefault = "http://127.0.0.1:5672";

interface ControlFlags {
  readonly control: string;
  readonly json: boolean;
}

interface FaultFlags extends ControlFlags {
  readonly target?: string;
  readonly rate?: string;
  readonly seed?: string;
  readonly count?: string;
  readonly duration?: string;
  readonly delay?: string;
}

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
  const { say: print } = terminal;
  const attempt = (run: () => Promise<void>): Promise<void> => orSayWhy(run, terminal);
  withControl(broker.command("inspect").description("tell what a running broker holds, who holds which lock, and which messages are in doubt").argument("[entity]", "a queue, `topic/Subscriptions/name`, or either with /$DeadLetterQueue"))
    .action((entity: string | undefined, flags: ControlFlags) => attempt(async () => print(await inspect(entity, flags))));
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
    .action((kind: string, flags: FaultFlags) => attempt(async () => print(await addFault(kind, flags))));
  withControl(fault.command("list").description("list what goes wrong now")).action((flags: ControlFlags) =>
    attempt(async () => {
      const { faults } = await askControl<{ faults: FaultReport[] }>(flags.control, "GET", "/faults");
      print(flags.json ? json(faults) : faultsTable(faults));
    }),
  );
  withControl(fault.command("clear").description("end a fault, or all of them").argument("[id]", "the fault's number")).action((id: string | undefined, flags: ControlFlags) =>
    attempt(async () => {
      const answer = await askControl<{ cleared: number }>(flags.control, "DELETE", id === undefined ? "/faults" : `/faults/${encodeURIComponent(id)}`);
      print(flags.json ? json(answer) : `${answer.cleared} cleared`);
    }),
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

async function inspect(entity: string | undefined, { control, json: asJson }: ControlFlags): Promise<string> {
  if (entity === undefined) {
    const inspection = await askControl<BrokerInspection>(control, "GET", "/inspect");
    return asJson ? json(inspection) : inspectionTable(inspection);
  }
  const path = `/inspect/${entity.split("/").map(encodeURIComponent).join("/")}`;
  const found = await askControl<QueueInspection | TopicInspection>(control, "GET", path);
  if (found.kind === "topic") return asJson ? json(found) : inspectionTable({ connections: 0, queues: {}, topics: { [found.path]: found } });
  const [locked, inDoubt] = await Promise.all(["state=locked", "doubt=true"].map((query) => askControl<MessagePage>(control, "GET", `${path}/messages?${query}&top=1000`)));
  const parts = { entity: found, locked: locked?.messages ?? [], inDoubt: inDoubt?.messages ?? [] };
  return asJson ? json(parts) : entityTable(parts.entity, parts.locked, parts.inDoubt);
}

async function addFault(kind: string, flags: FaultFlags): Promise<string> {
  const numbers = { rate: flags.rate, seed: flags.seed, count: flags.count, durationMs: flags.duration, delayMs: flags.delay };
  const given = Object.entries(numbers).flatMap(([name, value]) => (value === undefined ? [] : [[name, Number(value)]]));
  const request: Record<string, unknown> = { kind, ...(flags.target === undefined ? {} : { target: flags.target }), ...Object.fromEntries(given) };
  const report = await askControl<FaultReport>(flags.control, "POST", "/faults", request);
  return flags.json ? json(report) : faultsTable([report]);
}

function json(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}
