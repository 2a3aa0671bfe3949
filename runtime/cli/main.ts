#!/usr/bin/env node
/** The holdfast command. It hears signals first of all, and loads everything else after that. */
import { enableCompileCache } from "node:module";
import { hearStopSignals } from "./stop-signals.ts";

const [command, subcommand] = process.argv.slice(2);
// The others are short, and end as the system has it.
if (command === "start") hearStopSignals("stay");
else if (command === "dev" || (command === "broker" && subcommand?.startsWith("-") !== false)) hearStopSignals("stop");

/** What the worker stands on: node:sqlite, type stripping, synchronous ESM. */
const nodeMajorMin = 24;
const nodeMajor = Number(process.versions.node.split(".")[0]);
const exitUsage = 2;
if (nodeMajor < nodeMajorMin) {
  process.stderr.write(`holdfast: expected Node ${nodeMajorMin}.12 or later, found ${process.versions.node}; install a newer Node\n`);
  process.exit(exitUsage);
}

// What was compiled once is taken from Node's cache the next time: half of the start of a command is compiling.
enableCompileCache();

const { runProgram } = await import("./program.ts");
await runProgram();
// Everything is closed by now; timers that the broker's client leaves behind must not keep the process.
process.exit();
