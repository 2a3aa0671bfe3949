// What a folder of contracts holds, and what is said of each file that is not as it should be.
import { strict as assert } from "node:assert";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openContracts } from "#runtime/contracts/compiled-contracts.ts";
import { describeProblem, openRegistry, readContracts } from "#runtime/contracts/read-contracts.ts";
import { type FilesOfTest, folderOfTest, objectOf, sampleContracts } from "../support/contract-files.ts";

const anything = objectOf({});

test("reads versions in their order, from JSON and from modules, with upcasters and examples", async () => {
  const { types, reach } = await openRegistry(sampleContracts).then((registry) => ({ types: registry.types, reach: registry.reach.bind(registry) }));
  const placed = types.get("OrderPlaced");
  assert.deepEqual([...types.keys()], ["OrderPlaced", "OrderShipped"]);
  assert.deepEqual(
    placed?.versions.map(({ version, file }) => [version, file]),
    [
      ["1.0", "OrderPlaced/1.0.json"],
      ["1.1", "OrderPlaced/1.1.json"],
      ["2.0", "OrderPlaced/2.0.ts"],
    ],
  );
  assert.deepEqual(Object.keys(placed?.versions[2]?.jsonSchema["properties"] ?? {}), ["orderId", "cents", "amount", "note"]);
  assert.deepEqual(
    placed?.examples.map(({ version, file }) => [version, file]),
    [
      ["1.0", "OrderPlaced/examples/1.0.json"],
      ["1.1", "OrderPlaced/examples/1.1-noted.json"],
      ["2.0", "OrderPlaced/examples/2.0.json"],
    ],
  );
  assert.deepEqual([reach("OrderPlaced", "1.7"), reach("OrderPlaced", "2.0"), reach("Other", "1.0")], [["2.0"], [], []]);
});

const wrong: readonly (readonly [what: string, files: FilesOfTest, expected: readonly RegExp[]])[] = [
  ["a folder that is no event type", { "Order Placed/1.0.json": anything }, [/^Order Placed: expected a folder named by an event type.*; rename it/]],
  ["a file of another name", { "A/1.0.json": anything, "A/one.json": anything }, [/^A\/one\.json: expected <major>\.<minor>\.json or \.ts .*_shared\//]],
  ["a version with a leading zero", { "A/1.0.json": anything, "A/01.1.json": anything }, [/^A\/01\.1\.json: expected <major>\.<minor>/]],
  ["a missing minor", { "A/1.0.json": anything, "A/1.2.json": anything }, [/^A\/1\.2\.json: expected version 1\.1 of A before 1\.2, found none/]],
  ["a minor without its first", { "A/1.1.json": anything }, [/^A\/1\.1\.json: expected version 1\.0 of A before 1\.1/]],
  ["a missing major", { "A/1.0.json": anything, "A/3.0.json": anything }, [/^A\/3\.0\.json: expected version 2\.0 of A before 3\.0/]],
  [
    "a version twice",
    { "A/1.0.json": anything, "A/1.0.ts": "export default {}" },
    [/^A\/1\.0\.ts: expected one file of version 1\.0, found A\/1\.0\.json as well/],
  ],
  ["a type without contracts", { "A/README.md": "soon" }, [/^A: expected at least one contract, such as 1\.0\.json, found none/]],
  ["what is no JSON", { "A/1.0.json": '{ "type": }' }, [/^A\/1\.0\.json: .*A\/1\.0\.json:1:11/s]],
  ["what is no schema", { "A/1.0.json": "[]" }, [/^A\/1\.0\.json: expected a JSON Schema, which is an object, got/]],
  ["a schema that does not compile", { "A/1.0.json": { type: "strin" } }, [/^A\/1\.0\.json: its schema: expected a JSON Schema that compiles/]],
  ["another draft", { "A/1.0.json": { $schema: "http://json-schema.org/draft-04/schema#" } }, [/its schema\.\$schema: expected draft-07, 2019-09 or 2020-12/]],
  ["a module that throws", { "A/1.0.ts": "throw new Error('not today')" }, [/^A\/1\.0\.ts: .*not today.*1\.0\.ts:1/s]],
  [
    "a module without a default",
    { "A/1.0.ts": "export const schema = {}" },
    [/^A\/1\.0\.ts: expected its default export to be a JSON Schema, or a Standard Schema/],
  ],
  [
    "a validator that cannot say what it is",
    { "A/1.0.ts": 'export default { "~standard": { version: 1, vendor: "mine", validate: (value) => ({ value }) } }' },
    [/^A\/1\.0\.ts: expected a Standard Schema that can say what it is as a JSON Schema/],
  ],
  [
    "an upcaster that is none",
    { "A/1.0.json": anything, "A/2.0.json": anything, "A/1-2.ts": "export default {}" },
    [/^A\/1-2\.ts: expected its default export to be a function from a payload of 1\.x to one of 2\.x/],
  ],
  [
    "an upcaster to nowhere",
    { "A/1.0.json": anything, "A/1-2.ts": "export default () => ({})" },
    [/^A\/1-2\.ts: expected a contract of major 2 to convert to/],
  ],
  [
    "an upcaster back",
    { "A/1.0.json": anything, "A/2.0.json": anything, "A/2-1.ts": "export default () => ({})" },
    [/^A\/2-1\.ts: expected an upcaster to lead to a later major/],
  ],
  ["an example of no version", { "A/1.0.json": anything, "A/examples/1.1.json": {} }, [/^A\/examples\/1\.1\.json: expected a contract of version 1\.1 of A/]],
  ["an example of another name", { "A/1.0.json": anything, "A/examples/small.json": {} }, [/^A\/examples\/small\.json: expected <major>\.<minor>\.json or/]],
];

for (const [what, files, expected] of wrong)
  test(`says what is wrong, where, and what to do: ${what}`, async (t) => {
    const { problems } = await readContracts(folderOfTest(t, files));
    const lines = problems.map(describeProblem);
    assert.equal(lines.length, expected.length, lines.join("\n"));
    for (const [index, pattern] of expected.entries()) assert.match(lines[index] ?? "", pattern);
  });

test("names all files at once, and a folder that is not there", async (t) => {
  const folder = folderOfTest(t, { "A/1.0.json": "[]", "B/1.1.json": anything });
  await assert.rejects(openRegistry(folder), /contracts in .*: A\/1\.0\.json: expected .*; B\/1\.1\.json: expected/);
  await assert.rejects(openRegistry(`${folder}/none`), /contracts: expected a folder at .*\/none, found nothing there; make it/);
});

test("leaves alone what describes the contracts, and what begins with _ or .", async (t) => {
  const folder = folderOfTest(t, { "A%2Fb/1.0.json": anything, "A%2Fb/README.md": "", "A%2Fb/.x": "", "_shared/x.ts": "", ".git/x": "", "events.d.ts": "" });
  assert.deepEqual([...(await openRegistry(folder)).types.keys()], ["A/b"]);
});

test("folders and files may be links, as mounts are, and a worker starts with no folder that has no contract", async (t) => {
  const folder = folderOfTest(t, { "real/A/1.0.json": anything });
  mkdirSync(join(folder, "linked"));
  symlinkSync(join(folder, "real/A"), join(folder, "linked/A"));
  const { types } = await openRegistry(join(folder, "linked"));
  assert.deepEqual([...types.keys()], ["A"]);
  mkdirSync(join(folder, "empty"));
  await assert.rejects(
    openContracts({ folder: join(folder, "empty"), unknown: "allow" }),
    /contracts: expected contracts in .*empty, such as <EventType>\/1\.0\.json, found none; write one, or take 'contracts' out/,
  );
});
