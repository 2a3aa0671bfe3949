// Changes of contracts, each judged by the platform's rules, with what is said of it.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { checkContracts } from "#runtime/contracts/check-contracts.ts";
import type { JudgementLevel } from "#runtime/contracts/judge-changes.ts";
import { openRegistry, readContracts } from "#runtime/contracts/read-contracts.ts";
import { type FilesOfTest, folderOfTest, objectOf } from "../support/contract-files.ts";

const text = { type: "string" };
const number = { type: "number" };

type Expected = readonly (readonly [level: JudgementLevel, place: string, message: RegExp])[];

interface Change {
  readonly what: string;
  readonly before: FilesOfTest;
  readonly after: FilesOfTest;
  readonly expected: Expected;
}

/** A field of 1.0 as it is in 1.1. */
function field(
  what: string,
  before: unknown,
  after: unknown,
  ...expected: readonly (readonly [level: JudgementLevel, message: RegExp, path?: string])[]
): Change {
  return minor(what, objectOf({ x: before }), objectOf({ x: after }), ...expected.map(([level, message, path = "/x"]) => [level, path, message] as const));
}

/** 1.0 as others have it, and 1.1. */
function minor(what: string, before: unknown, after: unknown, ...expected: readonly (readonly [JudgementLevel, string, RegExp])[]): Change {
  return {
    what,
    before: { "A/1.0.json": before },
    after: { "A/1.0.json": before, "A/1.1.json": after },
    expected: expected.map(([level, path, message]) => [level, `A 1.1 ${path}`.trim(), message]),
  };
}

/** The newest of major 1, and what comes after it. */
function major(
  what: string,
  before: unknown,
  after: unknown,
  expected: Expected,
  more: FilesOfTest = { "A/1-2.ts": "export default (payload) => payload;", "A/examples/1.0.json": {} },
): Change {
  return { what, before: { "A/1.0.json": before }, after: { "A/1.0.json": before, "A/2.0.json": after, ...more }, expected };
}

const same = /^takes the same payloads as 1\.0$/;
const shop = { type: "object", properties: { street: text }, required: ["street"] };
const breaksOld = /breaks events of the older version\); expected a minor version to add optional fields alone: write it as 2\.0$/;
const breaksNew = /breaks readers of the older version\); expected a minor version to add optional fields alone: write it as 2\.0$/;
const breaksBoth = /breaks events of the older version and readers of the older version\); expected a minor/;
const saying = (start: string, end: RegExp): RegExp => new RegExp(`^${start.replaceAll(/[[\]().*+?^$|\\]/g, "\\$&")} \\(${end.source}`);

const changes: readonly Change[] = [
  // Fields that come and go.
  minor("an optional field is added", objectOf({ id: text }, ["id"]), objectOf({ id: text, note: text }, ["id"]), [
    "compatible",
    "/note",
    /^was added, optional$/,
  ]),
  minor(
    "an optional field is added to a closed object",
    objectOf({}, [], { additionalProperties: false }),
    objectOf({ note: text }, [], { additionalProperties: false }),
    ["compatible", "/note", /^was added, optional$/],
  ),
  minor("a required field is added", objectOf({}), objectOf({ note: text }, ["note"]), [
    "breaking",
    "/note",
    saying("was added as required: older events lack it", breaksOld),
  ]),
  minor("a field is removed", objectOf({ id: text, note: text }), objectOf({ id: text }), ["breaking", "/note", saying("was removed", breaksBoth)]),
  minor(
    "a field is renamed",
    objectOf({ note: { type: "string", maxLength: 5 } }),
    objectOf({ remark: { type: "string", maxLength: 5 } }),
    ["breaking", "/note", saying("was removed; where it was renamed to 'remark', keep both for a major", breaksBoth)],
    ["compatible", "/remark", /^was added, optional$/],
  ),
  minor("an optional field becomes required", objectOf({ x: text }), objectOf({ x: text }, ["x"]), [
    "breaking",
    "/x",
    saying("was optional, and is required now: older events may lack it", breaksOld),
  ]),
  minor("a required field becomes optional", objectOf({ x: text }, ["x"]), objectOf({ x: text }), [
    "breaking",
    "/x",
    saying("was required, and is optional now: readers of the older version count on it", breaksNew),
  ]),
  // Types.
  field("a type is changed", text, number, ["breaking", saying("type changed from string to number", breaksBoth)]),
  field("a type is widened", { type: "integer" }, number, ["breaking", saying("type changed from integer to number", breaksNew)]),
  field("a type is narrowed", number, { type: "integer" }, ["breaking", saying("type changed from number to integer", breaksOld)]),
  field("null is allowed", text, { type: ["string", "null"] }, ["breaking", saying("type changed from string to string or null", breaksNew)]),
  field("null is allowed, written as an alternative", text, { anyOf: [text, { type: "null" }] }, [
    "breaking",
    saying("type changed from string to string or null", breaksNew),
  ]),
  field("null is written otherwise, and means the same", { type: ["string", "null"] }, { anyOf: [text, { type: "null" }] }, ["compatible", same, ""]),
  // Values.
  field("a value is added to an enumeration", { enum: ["a"] }, { enum: ["b", "a"] }, [
    "breaking",
    saying('values were added: "b", which readers of the older version do not know', breaksNew),
  ]),
  field("a value is removed from an enumeration", { enum: ["a", "b"] }, { enum: ["b"] }, ["breaking", saying('values were removed: "a"', breaksOld)]),
  field("values become limited", text, { type: "string", enum: ["a"] }, ["breaking", saying('values were free, and are limited to "a"', breaksOld)]),
  field(
    "a constant is changed",
    { const: 1 },
    { const: 2 },
    ["breaking", saying("values were removed: 1", breaksOld)],
    ["breaking", saying("values were added: 2, which readers of the older version do not know", breaksNew)],
  ),
  field("values change places", { enum: ["a", "b"] }, { enum: ["b", "a"] }, ["compatible", same, ""]),
  // Bounds and forms.
  field("an upper bound is tightened", { type: "string", maxLength: 9 }, { type: "string", maxLength: 5 }, [
    "breaking",
    saying("maxLength was tightened, from 9 to 5", breaksOld),
  ]),
  field("an upper bound is loosened", { type: "number", maximum: 9 }, number, ["breaking", saying("maximum was loosened, from 9 to none", breaksNew)]),
  field("a lower bound is tightened", number, { type: "number", minimum: 0 }, ["breaking", saying("minimum was tightened, from none to 0", breaksOld)]),
  field("a lower bound is loosened", { type: "number", exclusiveMinimum: 5 }, { type: "number", exclusiveMinimum: 1 }, [
    "breaking",
    saying("exclusiveMinimum was loosened, from 5 to 1", breaksNew),
  ]),
  field("a format is added", text, { type: "string", format: "date-time" }, ["breaking", saying("format changed from none to date-time", breaksOld)]),
  field("a pattern is changed", { type: "string", pattern: "^a" }, { type: "string", pattern: "^b" }, [
    "breaking",
    saying("pattern changed from ^a to ^b", breaksBoth),
  ]),
  field("multiples become finer", { type: "number", multipleOf: 10 }, { type: "number", multipleOf: 5 }, [
    "breaking",
    saying("multipleOf changed from 10 to 5", breaksNew),
  ]),
  // Other fields.
  minor("an object is closed", objectOf({}), objectOf({}, [], { additionalProperties: false }), [
    "breaking",
    "/*",
    saying("other fields were allowed, and are refused now: older events may have some", breaksOld),
  ]),
  minor("an object is opened", objectOf({}, [], { additionalProperties: false }), objectOf({}), [
    "compatible",
    "/*",
    /^other fields were refused, and are allowed now$/,
  ]),
  minor("the values of a map are changed", objectOf({}, [], { additionalProperties: number }), objectOf({}, [], { additionalProperties: text }), [
    "breaking",
    "/*",
    saying("type changed from number to string", breaksBoth),
  ]),
  // Nested ones.
  minor(
    "a field deep inside is changed",
    objectOf({ to: objectOf({ shop }) }),
    objectOf({ to: objectOf({ shop: { ...shop, properties: { street: number } } }) }),
    ["breaking", "/to/shop/street", saying("type changed from string to number", breaksBoth)],
  ),
  minor(
    "an optional field is added to items",
    objectOf({ list: { type: "array", items: objectOf({}) } }),
    objectOf({ list: { type: "array", items: objectOf({ note: text }) } }),
    ["compatible", "/list/*/note", /^was added, optional$/],
  ),
  minor("items are of another type", objectOf({ list: { type: "array", items: text } }), objectOf({ list: { type: "array", items: number } }), [
    "breaking",
    "/list/*",
    saying("type changed from string to number", breaksBoth),
  ]),
  field("items must be unique", { type: "array" }, { type: "array", uniqueItems: true }, ["breaking", saying("items must be unique now", breaksOld)]),
  field("a tuple gets longer", { type: "array", items: [text] }, { type: "array", items: [text, number] }, [
    "breaking",
    saying("the number of its places changed from 1 to 2", breaksBoth),
  ]),
  minor(
    "a field behind a reference is changed",
    { ...objectOf({ x: { $ref: "#/definitions/part" } }), definitions: { part: objectOf({ y: text }) } },
    { ...objectOf({ x: { $ref: "#/definitions/piece" } }), definitions: { piece: objectOf({ y: number }) } },
    ["breaking", "/x/y", saying("type changed from string to number", breaksBoth)],
  ),
  minor(
    "a schema that refers to itself gets an optional field",
    { ...objectOf({ x: { $ref: "#/definitions/node" } }), definitions: { node: objectOf({ next: { $ref: "#/definitions/node" } }) } },
    { ...objectOf({ x: { $ref: "#/definitions/node" } }), definitions: { node: objectOf({ next: { $ref: "#/definitions/node" }, note: text }) } },
    ["compatible", "/x/note", /^was added, optional$/],
  ),
  // Alternatives.
  field("an alternative is added", { oneOf: [{ ...objectOf({}), title: "card" }] }, { oneOf: [{ ...objectOf({}), title: "card" }, text] }, [
    "breaking",
    saying("an alternative was added, 'string'", breaksNew),
  ]),
  field("an alternative is removed", { anyOf: [text, number] }, { anyOf: [number] }, ["breaking", saying("an alternative was removed, 'string'", breaksOld)]),
  minor(
    "an optional field is added to one alternative",
    objectOf({ x: { oneOf: [objectOf({ kind: { const: "a" } }), objectOf({ kind: { const: "b" } })] } }),
    objectOf({ x: { oneOf: [objectOf({ kind: { const: "a" }, note: text }), objectOf({ kind: { const: "b" } })] } }),
    ["compatible", "/x/note", /^was added, optional$/],
  ),
  minor(
    "a field beside alternatives is removed",
    objectOf({ x: text }, [], { anyOf: [objectOf({ k: { const: 1 } }), objectOf({ k: { const: 2 } })] }),
    objectOf({}, [], { anyOf: [objectOf({ k: { const: 1 } }), objectOf({ k: { const: 2 } })] }),
    ["breaking", "/x", saying("was removed", breaksBoth)],
  ),
  field("a condition is changed", { not: text }, { not: number }, ["breaking", saying("not changed, which cannot be told to be compatible", breaksBoth)]),
  // Texts.
  minor("texts are changed alone", objectOf({ x: { ...text, description: "old" } }), objectOf({ x: { ...text, description: "new" } }), [
    "compatible",
    "",
    /^takes the same payloads as 1\.0$/,
  ]),
  field("a field is deprecated", text, { ...text, deprecated: true }, ["compatible", /^deprecated$/]),
  // Majors.
  major(
    "a type is changed in a new major",
    objectOf({ x: text }),
    objectOf({ x: number }),
    [["compatible", "A 2.0 /x", /^in a new major: type changed from string to number$/]],
    {
      "A/1-2.ts": "export default () => ({ x: 1 });",
      "A/examples/1.0.json": { x: "1" },
    },
  ),
  major(
    "a new major without an upcaster",
    objectOf({ x: text }),
    objectOf({ x: text, y: text }, ["y"]),
    [
      ["warning", "A 2.0", /^no upcaster 1-2\.ts: events of 1\.x reach skills that handle 1\.x, and no others; write one, or keep such a skill$/],
      ["compatible", "A 2.0 /y", /^in a new major: was added as required/],
    ],
    {},
  ),
  major("a field is removed that was never deprecated", objectOf({ x: text }), objectOf({}), [
    ["warning", "A 2.0 /x", /^was removed without having been deprecated in 1\.x; deprecate it in 1\.1 first, so that readers learn of it$/],
  ]),
  major("a field is removed in the major after its deprecation", objectOf({ x: { ...text, deprecated: true } }), objectOf({}), [
    ["breaking", "A 2.0 /x", /^was removed, and was deprecated in 1\.x only; expected it to live on through 2\.x: keep it, and remove it in 3\.0$/],
  ]),
  {
    what: "a deprecated field has lived a major more, and is removed",
    before: { "A/1.0.json": objectOf({ x: { ...text, deprecated: true } }), "A/2.0.json": objectOf({ x: { ...text, deprecated: true } }) },
    after: {
      "A/1.0.json": objectOf({ x: { ...text, deprecated: true } }),
      "A/2.0.json": objectOf({ x: { ...text, deprecated: true } }),
      "A/3.0.json": objectOf({}),
      "A/2-3.ts": "export default ({ x: _, ...rest }) => rest;",
      "A/examples/2.0.json": { x: "a" },
    },
    expected: [["compatible", "A 3.0 /x", /^was removed, a major after 1\.x deprecated it$/]],
  },
  // Files.
  {
    what: "a version that others have gets an optional field",
    before: { "A/1.0.json": objectOf({}) },
    after: { "A/1.0.json": objectOf({ x: text }) },
    expected: [["breaking", "A 1.0 /x", /^was added, optional; expected 1\.0 unchanged, for others have it: restore the file, and write the change as 1\.1$/]],
  },
  {
    what: "a version that others have is broken in place",
    before: { "A/1.0.json": objectOf({ x: text }), "A/1.1.json": objectOf({ x: text }) },
    after: { "A/1.0.json": objectOf({ x: number }), "A/1.1.json": objectOf({ x: text }) },
    expected: [["breaking", "A 1.0 /x", /^type changed from string to number \(breaks .*\); expected 1\.0 unchanged, .* write the change as 2\.0$/]],
  },
  {
    what: "the texts of a version that others have are changed",
    before: { "A/1.0.json": objectOf({ x: { ...text, title: "X" } }) },
    after: { "A/1.0.json": objectOf({ x: { ...text, deprecated: true } }) },
    expected: [["compatible", "A 1.0 /x", /^deprecated$/]],
  },
  {
    what: "a schema is written as a module, and means the same",
    before: { "A/1.0.json": objectOf({ x: text }, ["x"]) },
    after: { "A/1.0.ts": 'export default { required: ["x"], type: "object", properties: { x: { type: "string", description: "X" } } };' },
    expected: [],
  },
  {
    what: "a minor is left out",
    before: { "A/1.0.json": objectOf({}) },
    after: { "A/1.0.json": objectOf({}), "A/1.2.json": objectOf({}) },
    expected: [["breaking", "A", /^expected version 1\.1 of A before 1\.2, found none; give it the number that comes next, or restore the missing file$/]],
  },
  {
    what: "a version is deleted",
    before: { "A/1.0.json": objectOf({}), "A/1.1.json": objectOf({}) },
    after: { "A/1.0.json": objectOf({}) },
    expected: [["breaking", "A 1.1", /^was deleted, and others of its major are there; restore the file: a major goes as a whole$/]],
  },
  {
    what: "a major is deleted too early",
    before: { "A/1.0.json": objectOf({}), "A/2.0.json": objectOf({}) },
    after: { "A/2.0.json": objectOf({}) },
    expected: [["breaking", "A 1.0", /^was deleted; expected 1\.x to live until there is 3\.0: restore the file$/]],
  },
  {
    what: "a major is retired in its time",
    before: { "A/1.0.json": objectOf({}), "A/2.0.json": objectOf({}), "A/3.0.json": objectOf({}) },
    after: { "A/2.0.json": objectOf({}), "A/3.0.json": objectOf({}) },
    expected: [["warning", "A 1.0", /^was retired, 3\.x being there: events of 1\.x that are still sent are not checked any more$/]],
  },
  {
    what: "an event type is deleted",
    before: { "A/1.0.json": objectOf({}), "B/1.0.json": objectOf({ x: text }) },
    after: { "A/1.0.json": objectOf({}) },
    expected: [["breaking", "B", /^the event type was deleted; restore its contracts until nobody sends or handles it/]],
  },
  {
    what: "an event type is renamed",
    before: { "A/1.0.json": objectOf({ x: text }) },
    after: { "B/1.0.json": objectOf({ x: text }) },
    expected: [
      ["breaking", "A", /^the event type was renamed to B: to skills that handle A it is deleted; restore its contracts, and send both/],
      ["compatible", "B 1.0", /^a new event type$/],
    ],
  },
  {
    what: "a file that cannot be read is not said to be deleted",
    before: { "A/1.0.json": objectOf({}) },
    after: { "A/1.0.json": "{" },
    expected: [["breaking", "A", /1\.0\.json:1:2/]],
  },
  {
    what: "two minors that nobody has yet are judged one after the other",
    before: {},
    after: { "A/1.0.json": objectOf({}), "A/1.1.json": objectOf({ x: text }), "A/1.2.json": objectOf({ x: text, y: number }, ["y"]) },
    expected: [
      ["breaking", "A 1.2 /y", /^was added as required/],
      ["compatible", "A 1.0", /^a new event type$/],
      ["compatible", "A 1.1 /x", /^was added, optional$/],
    ],
  },
  // Examples.
  {
    what: "an example breaks its own version",
    before: { "A/1.0.json": objectOf({ x: text }) },
    after: { "A/1.0.json": objectOf({ x: text }), "A/examples/1.0-bad.json": { x: 1 } },
    expected: [["breaking", "A 1.0", /^expected the example to be what its version says: contract A 1\.0: payload\/x: must be string; correct the example/]],
  },
  {
    what: "a contract answers later",
    before: {},
    after: {
      "A/1.0.ts":
        'const schema = { version: 1, vendor: "mine", validate: async (value) => ({ value }), jsonSchema: { input: () => ({}), output: () => ({}) } }; export default { "~standard": schema };',
      "A/examples/1.0.json": {},
    },
    expected: [
      ["breaking", "A 1.0", /contract A 1\.0: expected a schema that answers at once, got one that answers later/],
      ["compatible", "A 1.0", /^a new event type$/],
    ],
  },
  {
    what: "an upcaster makes something else of an example",
    before: { "A/1.0.json": objectOf({ x: text }), "A/2.0.json": objectOf({ x: number }) },
    after: {
      "A/1.0.json": objectOf({ x: text }),
      "A/2.0.json": objectOf({ x: number }),
      "A/1-2.ts": "export default (p) => p;",
      "A/examples/1.0.json": { x: "1" },
    },
    expected: [
      ["breaking", "A 1.0", /^expected A\/1-2\.ts to make a payload of 2\.0 of it: contract A 2\.0: payload\/x: must be number; correct the upcaster$/],
    ],
  },
  {
    what: "an upcaster throws, one changes what it is given, and one is tested by nothing",
    before: {},
    after: Object.fromEntries(
      [
        ["A", "() => { throw new Error('no'); }"],
        ["B", "(p) => { p.n = (p.n ?? 0) + 1; return p; }"],
        ["C", "(p) => p"],
      ].flatMap(([type, code]) => [
        [`${type}/1.0.json`, objectOf({})],
        [`${type}/2.0.json`, objectOf({})],
        [`${type}/1-2.ts`, `export default ${code};`],
        ...(type === "C" ? [] : [[`${type}/examples/1.0.json`, {}]]),
      ]),
    ),
    expected: [
      ["breaking", "A 1.0", /^upcaster A\/1-2\.ts: expected a payload of A 2\.0 made of one of 1\.0, it threw: no; correct the upcaster$/],
      ["breaking", "B 1.0", /^expected B\/1-2\.ts to be a pure function, it gave something else the second time/],
      ["warning", "C", /^no example of 1\.x tests it; keep one as examples\/1\.0\.json$/],
      ...["A", "B", "C"].flatMap((type) => [["compatible", `${type} 1.0`, /^a new event type$/] as const]),
    ],
  },
];

for (const { what, before, after, expected } of changes)
  test(`judges a change: ${what}`, async (t) => {
    const base = await openRegistry(folderOfTest(t, before));
    const { judgements } = await checkContracts(await readContracts(folderOfTest(t, after)), base, []);
    const found = judgements.map(({ level, eventType, version, path, message }) => ({
      level,
      place: [eventType, version, path].filter(Boolean).join(" "),
      message,
    }));
    const left = [...expected];
    const unexpected = found.filter(({ level, place, message }) => {
      const index = left.findIndex(([expectedLevel, expectedPlace, pattern]) => expectedLevel === level && expectedPlace === place && pattern.test(message));
      if (index < 0) return true;
      left.splice(index, 1);
      return false;
    });
    assert.deepEqual([unexpected, left], [[], []]);
  });

test("says who handles and who emits what, and what nobody does", async (t) => {
  const read = await readContracts(folderOfTest(t, { "A/2.0.json": objectOf({}), "B/1.0.json": objectOf({}) }));
  const skill = (name: string, handles: readonly [string, string][], emits?: readonly [string, string][]) => ({
    name,
    plugin: "shop",
    handles: handles.map(([eventType, range]) => ({ eventType, versions: [range] })),
    emits: emits?.map(([eventType, version]) => ({ eventType, version })),
  });
  const skills = [skill("one", [["A", "1.x"]], [["B", "1.0"]]), skill("two", [["A", "2.x"]], [["B", "1.3"]]), skill("three", [["C", "1.x"]], [["D", "1.0"]])];
  const { judgements, users } = await checkContracts(read, read.registry, skills);
  assert.deepEqual(users, [
    {
      eventType: "A",
      handledBy: [
        { skill: "one", plugin: "shop", versions: ["1.x"] },
        { skill: "two", plugin: "shop", versions: ["2.x"] },
      ],
      emittedBy: [],
    },
    {
      eventType: "B",
      handledBy: [],
      emittedBy: [
        { skill: "one", plugin: "shop", version: "1.0" },
        { skill: "two", plugin: "shop", version: "1.3" },
      ],
    },
    { eventType: "C", handledBy: [{ skill: "three", plugin: "shop", versions: ["1.x"] }], emittedBy: [] },
    { eventType: "D", handledBy: [], emittedBy: [{ skill: "three", plugin: "shop", version: "1.0" }] },
  ]);
  assert.deepEqual(
    judgements.map(({ level, eventType, version, message }) => [level, eventType, version, message.split(";")[0]]),
    [
      ["warning", "A", "1.x", "skill 'one' of plugin 'shop' handles 1.x, and there is no such version (2.0)"],
      ["breaking", "B", "1.3", "skill 'two' of plugin 'shop' emits 1.3, and there is no such version (1.0)"],
      ["warning", "B", "", "is emitted by 'one', 'two', and no skill of this configuration handles it"],
      ["warning", "D", "1.0", "skill 'three' of plugin 'shop' emits it, and it has no contract"],
      ["warning", "D", "", "is emitted by 'three', and no skill of this configuration handles it"],
    ],
  );
});
