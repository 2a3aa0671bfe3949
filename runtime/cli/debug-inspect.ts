/** Lets a debugger in: breakpoints in the author's own files hold, for they are imported by this process. */
import { runInThisContext } from "node:vm";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { writeNote } from "./output.ts";

const usual = { host: "127.0.0.1", port: 9229 };

/** `host:port`, or one of them. */
function addressOf(text: string | true): { readonly host: string; readonly port: number } {
  if (text === true) return usual;
  const [, host = "", port] = /^(?:(.*):)?(\d{1,5})$/.exec(text) ?? [];
  const address = port === undefined ? { ...usual, host: text } : { host: host || usual.host, port: Number(port) };
  if (address.port > 65_535) throw new ConfigurationError(`--inspect: expected host:port, found '${text}'`);
  return address;
}

/** Resolves once one is there; answers what lets go of it, for a process does not end before. */
export async function awaitDebugger(at: string | true): Promise<() => void> {
  const { host, port } = addressOf(at);
  const inspector = await import("node:inspector");
  try {
    inspector.open(port, host);
  } catch (error) {
    throw new ConfigurationError(`--inspect: expected ${host}:${port} to be free for the inspector, found: ${messageOf(error, 200)}`, { cause: error });
  }
  writeNote(`waiting for a debugger at ${inspector.url() ?? `${host}:${port}`}; open chrome://inspect, or attach your editor`);
  inspector.waitForDebugger();
  return () => inspector.close();
}

/** The skill, which pauses where it is called: one step in, and its first line is reached. */
export function pausing(skill: Skill): Skill {
  const { run } = skill;
  const wrap = runInThisContext("(run) => (context) => { debugger; return run(context); }", { filename: "holdfast-debug" }) as (
    given: typeof run,
  ) => typeof run;
  // Its text is part of what its pipeline is known by.
  return { ...skill, run: Object.assign(wrap(run), { toString: () => run.toString() }) };
}
