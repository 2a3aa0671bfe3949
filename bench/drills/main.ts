/** `npm run drill`: lists the drills, runs one, and explains it with `npm run drill -- NAME --help`. */
import "#runtime/cli/require-node.ts";
import { Command } from "commander";
import { carryOut, ofTheRuntime } from "#runtime/cli/carry-out.ts";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { helpWidth } from "../support/command.ts";
import { endTogether } from "../support/end-together.ts";
import { crashPointsCommand } from "./crash-points/command.ts";
import { debugCommand } from "./debug/command.ts";
import { faultsCommand } from "./faults/command.ts";
import { killCommand } from "./kill/command.ts";
import { memoryCommand } from "./memory/command.ts";
import { orderCommand } from "./order/command.ts";
import { repeatOf } from "./repeat.ts";
import { replayCommand } from "./replay/command.ts";
import { sourcesCommand } from "./sources/command.ts";
import { transactionalCommand } from "./transactional/command.ts";

const program = new Command("npm run drill --")
  .usage("NAME [options]")
  .description("Trouble on purpose, and whether the promise holds. A drill ends with 1 when it is broken, and prints how to repeat that.")
  .helpCommand(false)
  .configureHelp({ subcommandTerm: (command) => command.name(), helpWidth })
  .addHelpText("after", "\n`npm run drill -- NAME --help` says what goes wrong, and what must hold all the same.");

for (const command of [
  crashPointsCommand(),
  debugCommand(),
  killCommand(),
  faultsCommand(),
  memoryCommand(),
  orderCommand(),
  replayCommand(),
  sourcesCommand(),
  transactionalCommand(),
])
  program.addCommand(command);

/** These two say themselves how to repeat the one case that was broken. */
const ownRepeat: readonly string[] = ["crash-points", "faults"];

program.hook("preAction", (_, command) => {
  endTogether();
  process.once("exit", (code) => {
    if (code === exitCodes.failed && !ownRepeat.includes(command.name())) process.stderr.write(`repeat with: ${repeatOf(command)}\n`);
  });
});

if (process.argv.length === 2) program.outputHelp();
else await carryOut(program, ofTheRuntime);
