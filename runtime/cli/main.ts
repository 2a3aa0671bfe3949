#!/usr/bin/env node
/** The holdfast command. It hears signals first of all, and loads everything else after that. */
import { hearStopSignals } from "./stop-signals.ts";
import { holdStandardError } from "./log-line.ts";
// Whatever is imported here must be found by every Node, or an old one fails before its user learns that it is too old.
import "./require-node.ts";
import { extname } from "node:path";

const [command, subcommand] = process.argv.slice(2);
// The others are short, and end as the system has it.
if (command === "start") hearStopSignals("stay");
else if (command === "dev" || command === "mcp" || (command === "broker" && subcommand?.startsWith("-") !== false)) hearStopSignals("stop");

holdStandardError();
// Whatever ends a worker is a line of its log.
if (command === "start" || command === "dev") (await import("./last-words.ts")).hearUncaught();

if (command === "start") (await import("../adapters/system/young-generation.ts")).holdYoungGeneration();
// What was compiled once is taken from Node's cache the next time: half of the start of a command is compiling.
const { enableCompileCache } = await import("node:module");
enableCompileCache();

// A thread starts while this one loads: the one that plugins are tried out in, with what they import.
if (command === "start") (await import("../skills/host/probe.ts")).awaitPlugins([new URL(`../index${extname(import.meta.filename)}`, import.meta.url).href]);

const { runProgram } = await import("./program.ts");
await runProgram();
// Whether what was written last has found a reader is known a turn later.
await new Promise((resolve) => setImmediate(resolve));
// Everything is closed by now; neither timers that the broker's client leaves behind nor a thread that does not end may keep the process.
const { endProcess } = await import("../adapters/threads/end-process.ts");
await endProcess(Number(process.exitCode ?? 0));
