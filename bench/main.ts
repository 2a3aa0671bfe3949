/** `npm run bench`: lists the benches, runs one, and explains it with `npm run bench -- NAME --help`. */
import { Command, CommanderError } from "commander";
import { amqpCommand } from "./amqp/command.ts";
import { brokerCommand } from "./broker/command.ts";
import { dispatchCommand } from "./dispatch/command.ts";
import { quickCommand } from "./quick/command.ts";
import { helpWidth } from "./support/command.ts";
import { settlementCommand } from "./settlement/command.ts";
import { soakCommand } from "./soak/command.ts";
import { storeCommand } from "./store/command.ts";
import { transportCommand } from "./transport/command.ts";

const exitUsage = 2;

const program = new Command("npm run bench --")
  .usage("NAME [options]")
  .description("Measurements, to be judged for oneself. Figures are medians with their range; compare them within one run alone.")
  .helpCommand(false)
  .configureHelp({ subcommandTerm: (command) => command.name(), helpWidth })
  .addHelpText("after", "\n`npm run bench -- NAME --help` says what is measured, against what, and how it can be changed.");

const commands = [quickCommand(), transportCommand(), soakCommand(), settlementCommand(), brokerCommand(), amqpCommand(), storeCommand(), dispatchCommand()];
for (const command of commands) program.addCommand(command);
for (const command of [program, ...program.commands]) command.exitOverride();

try {
  if (process.argv.length === 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  // Commander has said what is wrong, in a line, or what was asked for.
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? 0 : exitUsage;
}
