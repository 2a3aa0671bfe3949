// The Lua scripts beside this file, each with what they share put before it.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export interface Script {
  readonly name: string;
  readonly source: string;
  /** What EVALSHA calls it by. */
  readonly sha: string;
}

function textOf(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), "utf8");
}

function load(name: string, ...shared: readonly string[]): Script {
  const source = ["record", "places", ...shared, name].map(textOf).join("\n");
  return { name, source, sha: createHash("sha1").update(source).digest("hex") };
}

type ScriptName =
  | "claim"
  | "claimPacked"
  | "checkpoint"
  | "finish"
  | "finishPacked"
  | "fail"
  | "extend"
  | "clearOutbox"
  | "read"
  | "inspect"
  | "sign"
  | "secret"
  | "revive"
  | "close"
  | "layout"
  | "scan"
  | "nameKinds"
  | "kinds"
  | "create"
  | "cancel"
  | "state"
  | "giveUp"
  | "remove"
  | "note"
  | "draw"
  | "count"
  | "boardPut"
  | "boardList";

export const scripts: Readonly<Record<ScriptName, Script>> = {
  claim: load("claim", "sentinel", "claiming"),
  claimPacked: load("claim-packed", "sentinel", "claiming", "growth"),
  checkpoint: load("checkpoint"),
  finish: load("finish"),
  finishPacked: load("finish-packed"),
  fail: load("fail"),
  extend: load("extend"),
  clearOutbox: load("clear-outbox"),
  read: load("read"),
  inspect: load("inspect"),
  sign: load("sign", "sentinel"),
  secret: load("secret"),
  revive: load("revive"),
  close: load("close"),
  layout: load("layout"),
  scan: load("scan"),
  nameKinds: load("name-kinds"),
  kinds: load("kinds"),
  create: load("create"),
  cancel: load("cancel"),
  state: load("state"),
  giveUp: load("give-up"),
  remove: load("remove"),
  note: load("note"),
  draw: load("draw"),
  count: load("count"),
  boardPut: load("board-put"),
  boardList: load("board-list"),
};
