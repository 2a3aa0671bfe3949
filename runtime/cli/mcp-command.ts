/** `holdfast mcp`, and its options. */
import { type Command, Option } from "commander";
import type { McpOptions } from "./mcp.ts";

export function addMcpCommand(program: Command): void {
  program
    .command("mcp")
    .description("let agents see a worker by the Model Context Protocol, over its admin server, and steer it where that is allowed")
    .option("-c, --config <file>", "configuration file; tells where the worker of this machine listens")
    .option("--at <url>", "the admin server, instead of the one of a configuration")
    .option("--token-file <file>", "holds the bearer token to show, read for each call; over HTTP agents show their own")
    .option("--allow-changes [operations...]", "offer what changes something as well: all of it, or these operations of the API")
    .addOption(new Option("--http [host:port]", "speak streamable HTTP there, not over standard input and output").preset("127.0.0.1:9471"))
    .option("--public-url <url>", "where agents connect, as they see it, such as https://holdfast.example.com/mcp; default: where it listens")
    .action(async (options: McpOptions) => (await import("./mcp.ts")).mcp(options));
}
