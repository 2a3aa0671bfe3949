/** Runs the holdfast command as a user would: a process of its own. */
import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from "node:child_process";
import { join, resolve } from "node:path";
import type { Readable } from "node:stream";

const root = resolve(import.meta.dirname, "../..");

export interface CommandResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The last line of standard output, parsed. */
  readonly lastLine: Record<string, unknown> | undefined;
}

export interface RunningCommand {
  readonly process: ChildProcess;
  readonly done: Promise<CommandResult>;
}

export function startCommand(args: readonly string[], env: NodeJS.ProcessEnv = process.env, cwd: string = root): RunningCommand {
  return follow(spawn(process.execPath, [join(root, "runtime/cli/main.ts"), ...args], { cwd, env, stdio: ["ignore", "pipe", "pipe"] }));
}

/** Runs `npm start` as a terminal does: in a process group of its own, which Ctrl-C reaches as a whole. */
export function startByNpm(args: readonly string[], env: NodeJS.ProcessEnv = process.env): RunningCommand & { readonly pressCtrlC: () => void } {
  const child = spawn("npm", ["start", "--", ...args], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
  return { ...follow(child), pressCtrlC: () => void process.kill(-(child.pid ?? 0), "SIGINT") };
}

/** The process whose command line matches, and which one of the group started. */
export function startedByGroup(group: number, commandLine: RegExp): number {
  const listed = execFileSync("ps", ["-A", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "args="], { encoding: "utf8" });
  const processes = listed.split("\n").map((line) => {
    const [, pid, parent, ofGroup, args = ""] = /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
    return { pid: Number(pid), parent: Number(parent), group: Number(ofGroup), args };
  });
  const members = new Set(processes.flatMap((one) => (one.group === group ? [one.pid] : [])));
  const found = processes.find(({ parent, args }) => members.has(parent) && commandLine.test(args));
  if (found === undefined) throw new Error(`expected group ${group} to have started a process that matches ${commandLine}, found\n${listed}`);
  return found.pid;
}

function follow(child: ChildProcessByStdio<null, Readable, Readable>): RunningCommand {
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const done = new Promise<CommandResult>((resolveDone) => {
    child.on("close", (code, signal) => resolveDone({ code, signal, stdout, stderr, lastLine: parse(stdout.trim().split("\n").at(-1) ?? "") }));
  });
  return { process: child, done };
}

export function runCommand(args: readonly string[], env?: NodeJS.ProcessEnv, cwd?: string): Promise<CommandResult> {
  return startCommand(args, env, cwd).done;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
