/** Who changes something by hand, and why: what every such command is given, and what records keep of it. */
import { hostname, userInfo } from "node:os";
import type { Command } from "commander";
import { ConfigurationError } from "../core/errors.ts";
import { type ByHand, whoCharactersMax } from "../core/history.ts";
import { replayReasonCharactersMax } from "../core/replay-order.ts";

export interface ByOptions {
  readonly by?: string;
}

export function withBy(command: Command): Command {
  return command.option("--by <name>", "who does it; kept in the runs' records (default: who is logged in here)");
}

/** A container's user is often a number that stands in no list of users: then there is no name of it. */
function usernameBy(look: () => { readonly username: string }): string {
  try {
    return look().username;
  } catch {
    return `uid ${process.getuid?.() ?? "unknown"}`;
  }
}

export function whoOf({ by }: ByOptions, look: () => { readonly username: string } = userInfo): string {
  const who = by ?? `${usernameBy(look)}@${hostname()}`.slice(0, whoCharactersMax);
  if (who.trim() === "" || who.length > whoCharactersMax)
    throw new ConfigurationError(`--by: expected a name of 1 to ${whoCharactersMax} characters, found ${who.length}`);
  return who;
}

/** For a command that must say why. */
export function byHandOf({ reason, ...by }: ByOptions & Pick<ByHand, "reason">): ByHand {
  if (reason.trim() === "" || reason.length > replayReasonCharactersMax)
    throw new ConfigurationError(`--reason: expected 1 to ${replayReasonCharactersMax} characters, found ${reason.length}`);
  return { reason, who: whoOf(by) };
}
