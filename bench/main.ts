/** `npm run bench`: lists the benches, runs one, and explains it with `npm run bench -- NAME --help`. */
import "#runtime/cli/require-node.ts";
import { Command } from "commander";
import { carryOut, ofTheRuntime } from "#runtime/cli/carry-out.ts";
import { allCommand } from "./all/command.ts";
import { amqpCommand } from "./amqp/command.ts";
import { baselineCommand } from "./baseline/command.ts";
import { brokerCommand } from "./broker/command.ts";
import { compareCommand } from "./compare/command.ts";
import { dispatchCommand } from "./dispatch/command.ts";
import { faultsCommand } from "./faults/command.ts";
import { headOfLineCommand } from "./head-of-line/command.ts";
import { footprintCommand } from "./footprint/command.ts";
import { intakeCommand } from "./intake/command.ts";
import { isolationCommand } from "./isolation/command.ts";
import { latencyCommand } from "./latency/command.ts";
import { observabilityCommand } from "./observability/command.ts";
import { peersCommand } from "./peers/command.ts";
import { quickCommand } from "./quick/command.ts";
import { helpWidth } from "./support/command.ts";
import { endTogether } from "./support/end-together.ts";
import { settlementCommand } from "./settlement/command.ts";
import { soakCommand } from "./soak/command.ts";
import { threadsCommand } from "./threads/command.ts";
import { coldCommand } from "./cold/command.ts";
import { distanceCommand } from "./distance/command.ts";
import { recoveryCommand } from "./recovery/command.ts";
import { reloadCommand } from "./reload/command.ts";
import { scaleCommand } from "./scale/command.ts";
import { overheadCommand } from "./overhead/command.ts";
import { storeCommand } from "./store/command.ts";
import { transportCommand } from "./transport/command.ts";

const program = new Command("npm run bench --")
  .usage("NAME [options]")
  .description("Measurements, to be judged for oneself. Figures are medians with their range; compare them within one run alone.")
  .helpCommand(false)
  .configureHelp({ subcommandTerm: (command) => command.name(), helpWidth })
  .addHelpText("after", "\n`npm run bench -- NAME --help` says what is measured, against what, and how it can be changed.");

const commands = [
  allCommand(),
  peersCommand(),
  latencyCommand(),
  headOfLineCommand(),
  isolationCommand(),
  faultsCommand(),
  overheadCommand(),
  observabilityCommand(),
  scaleCommand(),
  recoveryCommand(),
  distanceCommand(),
  coldCommand(),
  threadsCommand(),
  quickCommand(),
  intakeCommand(),
  transportCommand(),
  soakCommand(),
  settlementCommand(),
  brokerCommand(),
  amqpCommand(),
  storeCommand(),
  dispatchCommand(),
  compareCommand(),
  baselineCommand(),
  footprintCommand(),
  reloadCommand(),
];
for (const command of commands) program.addCommand(command);

/** These end their scenarios in order, and write what was measured until then. */
const ownInterrupts: readonly string[] = ["all", "baseline"];
program.hook("preAction", (_, command) => {
  if (!ownInterrupts.includes(command.name())) endTogether();
});

if (process.argv.length === 2) program.outputHelp();
else await carryOut(program, ofTheRuntime);
