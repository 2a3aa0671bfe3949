// The keys that a broker knows: each is good for some rights, in the whole namespace or at one entity and what belongs to it.
import { createHash, timingSafeEqual } from "node:crypto";
import { belongsTo } from "../entities/belonging.ts";
import { parseJson } from "../json-text.ts";

/** What may be done. `Manage` includes the others. */
export type Right = "Listen" | "Send" | "Manage";

export interface AccessKey {
  readonly name: string;
  readonly key: string;
  /** Default: all. */
  readonly rights?: readonly Right[];
  /** The path of the queue or topic that it is for. Default: everything. */
  readonly entity?: string;
}

/** What somebody may do, and where. */
export interface Grant {
  /** A path in lower case, with everything below it; empty = everything. */
  readonly place: string;
  /** The entity that the key is for, in lower case; empty = everything. */
  readonly entity: string;
  readonly rights: ReadonlySet<Right>;
}

/** The key of the vendor's emulator, which its connection strings carry. */
export const emulatorKey: AccessKey = { name: "RootManageSharedAccessKey", key: "SAS_KEY_VALUE" };

export const allRights: readonly Right[] = ["Listen", "Send", "Manage"];

/** A key cannot be used. */
export class AccessKeyError extends Error {
  readonly code = "AccessKey";
}

/** @param where names the text in errors, which never hold a key */
export function readKey(where: string, text: string): AccessKey {
  const [first = "", ...rest] = text.split(";");
  const at = first.indexOf("=");
  if (at < 1 || at === first.length - 1) throw new AccessKeyError(`${where}: expected name=key, found ${at < 0 ? "no equal sign" : "an empty name or key"}`);
  const more = rest.map((part) => {
    const [name = "", value = ""] = part.split("=");
    return [name, name === "rights" ? value.split(",") : value] as const;
  });
  return checkKey(where, { name: first.slice(0, at), key: first.slice(at + 1), ...Object.fromEntries(more) });
}

/** Reads a list of keys: `[{ "name": …, "key": …, "rights": ["Send"], "entity": "orders" }]`. */
export function readKeys(where: string, text: string): AccessKey[] {
  let list: unknown;
  try {
    list = parseJson(text);
  } catch {
    // What was found may hold keys.
    throw new AccessKeyError(`${where}: expected JSON, found something else`);
  }
  if (!Array.isArray(list)) throw new AccessKeyError(`${where}: expected a list of keys, [{ "name": "…", "key": "…" }]`);
  return list.map((item: unknown, i) => checkKey(`${where}[${i}]`, typeof item === "object" && item !== null ? item : {}));
}

function checkKey(where: string, fields: object): AccessKey {
  const { name, key, rights, entity, ...others } = fields as Record<string, unknown>;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw new AccessKeyError(`${where}: expected name, key, rights and entity, found ${unknown}`);
  if (typeof name !== "string" || name === "" || typeof key !== "string" || key === "")
    throw new AccessKeyError(`${where}: expected a name and a key as text, found ${typeof name} and ${typeof key}`);
  if (entity !== undefined && (typeof entity !== "string" || entity === ""))
    throw new AccessKeyError(`${where}.entity: expected the path of a queue or topic, found ${JSON.stringify(entity)}`);
  if (rights !== undefined && !(Array.isArray(rights) && rights.length > 0 && rights.every(isRight)))
    throw new AccessKeyError(`${where}.rights: expected some of ${allRights.join(", ")}, found ${JSON.stringify(rights)}`);
  return { name, key, ...(rights === undefined ? {} : { rights }), ...(entity === undefined ? {} : { entity }) };
}

function isRight(value: unknown): value is Right {
  return allRights.some((right) => right === value);
}

export function grantOf({ rights = allRights, entity = "" }: AccessKey): Grant {
  const path = entity.toLowerCase().replace(/^\/+|\/+$/g, "");
  return { place: path, entity: path, rights: new Set(rights.includes("Manage") ? allRights : rights) };
}

/** Whether a path lies at a place or below it; both in lower case. */
export function isAt(path: string, place: string): boolean {
  return place === "" || path === place || path.startsWith(`${place}/`);
}

/** Whether a grant is for a path in lower case. A key of one entity opens no other, whatever that is called. */
export function isGranted(path: string, { place, entity }: Pick<Grant, "place" | "entity">): boolean {
  return isAt(path, place) && (entity === "" || belongsTo(path, entity));
}

/** Takes the same time wherever they differ, and whatever their lengths. */
export function isSame(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash("sha256").update(text).digest());
  return left !== undefined && right !== undefined && timingSafeEqual(left, right);
}
