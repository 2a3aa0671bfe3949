// Values of every type, as they are distinguished in `types.foreign.ts`: what each client can send, and what the others must
// make of it. A value is given as text that is the same in every language, and its type where the receiver can know it.

const scalars = {
  nothing: ["null", "null"],
  yes: ["boolean", "true"],
  no: ["boolean", "false"],
  ubyte: ["ubyte", "255"],
  ushort: ["ushort", "65535"],
  uint: ["uint", "4294967295"],
  ulong: ["ulong", "18446744073709551615"],
  byte: ["byte", "-128"],
  short: ["short", "-32768"],
  int: ["int", "-2147483647"],
  long: ["long", "-9223372036854775808"],
  float: ["float", "1.5"],
  double: ["double", "0.1"],
  timestamp: ["timestamp", "1700000000123"],
  uuid: ["uuid", "01234567-89ab-cdef-0123-456789abcdef"],
  binary: ["binary", "00ff80"],
  string: ["string", "grüße ☃ 🚀"],
  symbol: ["symbol", "sym"],
} as const satisfies Readonly<Record<string, readonly [type: string, text: string]>>;

type Scalar = keyof typeof scalars;

export const decimals: Readonly<Record<"decimal32" | "decimal64" | "decimal128", string>> = {
  decimal32: "2250007b",
  decimal64: "223800000000007b",
  decimal128: "000102030405060708090a0b0c0d0e0f",
};

/** What few clients know. */
const rare = {
  char: ["char", "☃"],
  decimal32: ["decimal32", decimals.decimal32],
  decimal64: ["decimal64", decimals.decimal64],
  decimal128: ["decimal128", decimals.decimal128],
} as const;

const all = Object.keys(scalars) as Scalar[];
const ofJavaScript: readonly Scalar[] = ["nothing", "yes", "no", "int", "double", "timestamp", "string"];

interface Ability {
  readonly scalars: readonly Scalar[];
  readonly rare: boolean;
  /** Bodies that are no bytes. */
  readonly bodies: boolean;
  /** What is in the nested body besides what all can say: whole numbers that no double holds, and bytes. */
  readonly nested: readonly ("big" | "bytes")[];
  /** It writes an int as another type. */
  readonly int?: string;
  /** The types of ids, besides text. */
  readonly ids: readonly string[];
  readonly fields: keyof typeof fieldsOf;
}

export type ProducerName = "proton" | "rhea" | "engine" | "azurePython" | "azureJs" | "transport";

/** What each producer can say. */
const abilities: Readonly<Record<ProducerName, Ability>> = {
  proton: { scalars: all, rare: true, bodies: true, nested: ["big", "bytes"], ids: ["ulong", "uuid", "string"], fields: "all" },
  rhea: { scalars: all, rare: true, bodies: true, nested: ["big", "bytes"], ids: ["ulong", "uuid", "binary", "string"], fields: "all" },
  engine: { scalars: all, rare: true, bodies: true, nested: ["big", "bytes"], ids: ["ulong", "uuid", "binary", "string"], fields: "all" },
  azurePython: { scalars: all.filter((name) => name !== "float"), rare: false, bodies: true, nested: ["big"], ids: [], fields: "no user" },
  azureJs: { scalars: ofJavaScript, rare: false, bodies: true, nested: ["bytes"], int: "long", ids: [], fields: "no user" },
  transport: { scalars: [...ofJavaScript, "long"], rare: false, bodies: false, nested: [], ids: [], fields: "few" },
};

export const producers: readonly ProducerName[] = Object.keys(abilities) as ProducerName[];

const few = { contentType: "text/plain" };
const more = { ...few, to: "to", replyTo: "back", groupId: "group", replyToGroupId: "back group" };
const fieldsOf = { few, "no user": more, all: { ...more, userId: "75736572" } };

const nestedTexts = { big: "9007199254740993", bytes: "feff80" };
const idTexts: Readonly<Record<string, string>> = { ulong: "7", uuid: scalars.uuid[1], binary: "00ff80", string: "s" };

/** Fields by name, as text. */
export type Seen = Readonly<Record<string, string>>;

/** What a receiver reports of the types of application properties: exactly, not at all. */
export type Precision = "typed" | "plain";

function properties(values: Readonly<Record<string, readonly [type: string, text: string]>>, precision: Precision): Seen {
  return Object.fromEntries(Object.entries(values).map(([name, [type, text]]) => [`property ${name}`, precision === "typed" ? `${type} ${text}` : text]));
}

/** The messages of a producer by subject, as a receiver must see them. The broker gives an id to those that have none. */
export function expectedOf(producer: ProducerName, precision: Precision): Map<string, Seen> {
  const can = abilities[producer];
  const messages = new Map<string, Seen>();
  const said = Object.fromEntries(can.scalars.map((name) => [name, name === "int" ? ([can.int ?? name, scalars.int[1]] as const) : scalars[name]]));
  messages.set("scalars", { ...properties(said, precision), body: "00ff80", id: "the id", correlationId: "correlated", ...fieldsOf[can.fields] });
  if (can.rare) messages.set("rare", { ...properties(rare, precision), body: "" });
  if (can.bodies) {
    messages.set("nested", { body: `{${can.nested.map((name) => `${name}:${nestedTexts[name]},`).join("")}list:[1,two,null,true],map:{inner:{deep:x}}}` });
    messages.set("text", { body: "grüße ☃ 🚀" });
    messages.set("sequence", { body: "[1,two,[3]]" });
  }
  for (const kind of can.ids) messages.set(`id ${kind}`, { id: idTexts[kind] ?? "", correlationId: idTexts[kind] ?? "", body: "" });
  return messages;
}

/** A value as text. JavaScript's clients give some types as bytes; the name of the value says which it is. */
export function textOf(name: string, value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (value instanceof Date) return String(value.getTime());
  if (value instanceof Uint8Array) return textOfBytes(name, Buffer.from(value));
  if (Array.isArray(value)) return `[${value.map((item) => textOf("", item)).join(",")}]`;
  if (typeof value === "object") {
    const entries = value instanceof Map ? ([...value] as [string, unknown][]) : Object.entries(value);
    return `{${entries
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${key}:${textOf(key, item)}`)
      .join(",")}}`;
  }
  if (name === "char" && typeof value === "number") return String.fromCodePoint(value);
  return `${value as string | number | boolean | bigint}`;
}

function textOfBytes(name: string, bytes: Buffer): string {
  const hex = bytes.toString("hex");
  switch (name) {
    case "ulong":
      return String(bytes.readBigUInt64BE());
    case "long":
    case "big":
      return String(bytes.readBigInt64BE());
    case "char":
      return String.fromCodePoint(bytes.readUInt32BE());
    case "uuid":
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
    default:
      return hex;
  }
}
