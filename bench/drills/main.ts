/** `npm run drill`: lists the drills, runs one, and explains it with `npm run drill -- NAME --help`. */
import "#runtime/cli/require-node.ts";
import { Command } from "commander";
import { carryOut } from "#runtime/cli/carry-out.ts";
import { helpWidth } from "../support/command.ts";
import { replayCommand } from "./replay/command.ts";

const program = new Command("npm run drill --")
  .usage("NAME [options]")
  .description("Whole worlds of broker, store and worker processes in which something goes wrong on purpose; a promise that is broken ends with 1.")
  .helpCommand(false)
  .configureHelp({ subcommandTerm: (command) => command.name(), helpWidth })
  .addHelpText("after", "\n`npm run drill -- NAME --help` says what is done and what must hold.");

for (const command of [replayCommand()]) program.addCommand(command);

if (process.argv.length === 2) program.outputHelp();
else await carryOut(program);
