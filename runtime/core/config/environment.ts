/**
 * Environment variables that set a part of the configuration: `HOLDFAST_` and the key in capitals, `HOLDFAST_HELD_BYTES_MAX` for
 * `heldBytesMax`; two underscores lead into an object or a list, as in `HOLDFAST_ADMIN__PORT` or `HOLDFAST_SOURCES__0__QUEUE`.
 */
import { nearName } from "../near-name.ts";
import type { JsonSchema } from "./json-schema.ts";
import type { Assignment } from "./layers.ts";
import { below, entriesOf, isSecret, keysOf, namedOf, type Place, placeOf, valueOf } from "./schema-places.ts";
import { valueAt } from "./value-at.ts";

const prefix = "HOLDFAST_";
const separator = "__";

/** Variables that are about the process rather than a key, with what they say. */
export const ownVariables: ReadonlyMap<string, string> = new Map([
  ["HOLDFAST_CONFIG", "the configuration file, where no `--config` names one"],
  ["HOLDFAST_DATA", "the folder of the SQLite store, where nothing names a store"],
  ["HOLDFAST_HEARTBEAT", "a file that the worker rewrites every five seconds"],
  ["HOLDFAST_BROKER", "the connection string that `holdfast broker` commands use"],
]);

/** What Kubernetes sets for every service of a namespace, by the service's name. */
const serviceLink = /_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$/;
const serviceLinkValue = /^(tcp|udp|sctp):\/\//;

/** A key as variables write it. */
export function capitals(key: string): string {
  return key
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/[^A-Za-z0-9_]/g, "_")
    .toUpperCase();
}

/** Every variable, with the key that it sets; `NAME` stands for a name of one's own, `0` for a place in a list. */
export function variablesOf(schema: JsonSchema): readonly { readonly variable: string; readonly path: readonly string[]; readonly place: Place }[] {
  return leavesOf(placeOf(schema), []).map(({ path, place }) => ({ variable: `${prefix}${path.map(capitals).join(separator)}`, path, place }));
}

interface Leaf {
  readonly path: readonly string[];
  readonly place: Place;
}

function leavesOf(place: Place, path: readonly string[]): readonly Leaf[] {
  const named = namedOf(place);
  const entries = entriesOf(place);
  const ofObjects = keysOf(place)
    .filter((key) => key !== "$schema")
    .flatMap((key) => leavesOf(below(place, key), [...path, key]));
  const inside = [
    ...ofObjects,
    ...(named === undefined ? [] : leavesOf(named, [...path, "NAME"])),
    ...(entries !== undefined && keysOf(entries).length > 0 ? leavesOf(entries, [...path, "0"]) : []),
  ];
  // A secret is a text, or an object that says where it lies.
  return inside.length === 0 || isSecret(place) ? [{ path, place }, ...inside] : inside;
}

export interface ReadEnvironment {
  readonly assignments: readonly Assignment[];
  /** Each with what to do. */
  readonly mistakes: readonly string[];
  /** Variables of our prefix that are like none of ours: somebody else's. */
  readonly unread: readonly string[];
}

/** `file`: what the file says; its names of dependencies, skills and the like are those that variables mean. A variable without a value is none. */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>, schema: JsonSchema, file: unknown): ReadEnvironment {
  const assignments: Assignment[] = [];
  const mistakes: string[] = [];
  const unread: string[] = [];
  for (const [name, text = ""] of Object.entries(env).toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    if (!name.startsWith(prefix) || text === "" || ownVariables.has(name)) continue;
    if (serviceLink.test(name) || serviceLinkValue.test(text)) continue;
    const found = find(name.slice(prefix.length).split(separator), schema, file);
    if ("place" in found) assignments.push({ path: found.path, value: valueOf(found.place, text), by: name });
    else {
      const near = nearest(name, found, schema);
      if (near === undefined && found.path.length === 0) unread.push(name);
      else mistakes.push(`${name}: unknown variable; ${near === undefined ? "check its spelling or remove it" : `did you mean '${near}'?`}`);
    }
  }
  return { assignments, mistakes, unread };
}

interface Lost {
  /** As far as it is known. */
  readonly path: readonly string[];
  readonly keys: readonly string[];
}

const anything: Place = [{}];

function find(words: readonly string[], schema: JsonSchema, file: unknown): Leaf | Lost {
  let place = placeOf(schema);
  const path: string[] = [];
  for (const word of words) {
    if (path[0] === "settings" && path.length > 1) {
      path.push(settingOf(word, valueAt(file, path)));
      place = anything;
      continue;
    }
    const keys = keysOf(place);
    const key = keys.find((known) => capitals(known) === word) ?? freeKey(place, word, valueAt(file, path));
    if (key === undefined) return { path, keys };
    path.push(key);
    place = below(place, key);
  }
  return { path, place };
}

/** A key of a plugin's own, which says itself what there is: one that the file has, a place in a list, or the words in camel case. */
function settingOf(word: string, there: unknown): string {
  const names = typeof there === "object" && there !== null ? Object.keys(there) : [];
  const camelCase = word.toLowerCase().replace(/_+([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
  return names.find((name) => capitals(name) === word) ?? camelCase;
}

/** A place in a list, or a name: one that the file has, or the word in small letters with hyphens. */
function freeKey(place: Place, word: string, there: unknown): string | undefined {
  if (entriesOf(place) !== undefined && /^\d{1,3}$/.test(word)) return word;
  if (namedOf(place) === undefined || word === "") return undefined;
  const names = typeof there === "object" && there !== null ? Object.keys(there) : [];
  return names.find((name) => capitals(name) === word) ?? word.toLowerCase().replaceAll("_", "-");
}

function nearest(name: string, { path, keys }: Lost, schema: JsonSchema): string | undefined {
  const ahead = path.map((key) => `${capitals(key)}${separator}`).join("");
  const known = path.length === 0 ? [...ownVariables.keys(), ...variablesOf(schema).map(({ variable }) => variable)] : [];
  const names = [...keys.map((key) => `${prefix}${ahead}${capitals(key)}`), ...known];
  const without = (variable: string): string => variable.slice(prefix.length + ahead.length);
  const near = nearName(without(name), names.map(without));
  return near === undefined ? undefined : `${prefix}${ahead}${near}`;
}
