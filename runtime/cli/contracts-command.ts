/** `holdfast contracts …`: what events carry, and whether it may change so. */
import { Command, Option } from "commander";
import { helpHint } from "./arguments.ts";
import type { ContractsCheckOptions } from "./contracts-check.ts";
import type { ContractsDocsOptions, ContractsWriteOptions } from "./contracts-write.ts";
import { exitCodes } from "./exit-codes.ts";

function part(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option("-c, --config <file>", "configuration file; names the folder, and the plugins that use it")
    .option("--folder <path>", "the folder of the contracts, in place of a configuration")
    .showHelpAfterError(helpHint);
}

function written(command: Command, file: string): Command {
  return command
    .option("--out <file>", `where it is written, - for standard output (default: ${file} in the folder of the contracts)`)
    .option("--check", "write nothing, and fail where the file does not say what the contracts do");
}

export function addContractsCommand(program: Command): void {
  const contracts = program.command("contracts").description("check, type and document what events carry");
  contracts.addCommand(
    part("check", "tell compatible changes of contracts from breaking ones, run their examples, and say who handles and emits what")
      .option("--against <ref>", "git ref or folder to compare with (default: the last tag, else HEAD; where that is what is checked, the one before)")
      .option("--json", "print JSON")
      .action(async (options: ContractsCheckOptions) => {
        const isGood = await (await import("./contracts-check.ts")).contractsCheck(options);
        if (!isGood) process.exitCode = exitCodes.failed;
      }),
  );
  contracts.addCommand(
    written(part("types", "write the contracts as types, by which skills, emit and producers are checked"), "events.d.ts").action(
      async (options: ContractsWriteOptions) => (await import("./contracts-write.ts")).contractsTypes(options),
    ),
  );
  contracts.addCommand(
    written(part("docs", "write a page of all events, or an AsyncAPI 3 document"), "EVENTS.md or asyncapi.json")
      .addOption(new Option("--format <format>", "what is written").choices(["markdown", "asyncapi"]).default("markdown"))
      .action(async (options: ContractsDocsOptions) => (await import("./contracts-write.ts")).contractsDocs(options)),
  );
}
