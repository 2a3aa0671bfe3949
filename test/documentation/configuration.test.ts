// The schema that editors use and the table of keys are what the checking schema makes; the failing tests show what to put there.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { configSchemaText } from "#runtime/cli/config-schema.ts";
import { configTable, ownVariableTable, publishedSchema } from "../support/config-schema.ts";
import { readDocument } from "../support/markdown.ts";

function tableIn(document: string, head: string): readonly string[] {
  const start = document.indexOf(head);
  const rest = document.slice(start);
  return rest.slice(0, rest.search(/\n\n|\n$/)).split("\n");
}

test("the published schema is what checks a configuration, with what the types' comments say", () => {
  assert.deepEqual(JSON.parse(configSchemaText()), JSON.parse(JSON.stringify(publishedSchema())), "expected runtime/core/config/schema.json to be this");
});

test("every key of the top level is described in the published schema", () => {
  const bare = Object.entries(publishedSchema().properties ?? {}).filter(([, { description = "" }]) => description === "");
  assert.deepEqual(
    bare.map(([key]) => key),
    [],
  );
});

test("the tables of keys and variables are what the schema makes", () => {
  const document = readDocument("runtime/CONFIGURATION.md");
  assert.deepEqual(tableIn(document, "| key | variable |"), configTable().split("\n"));
  assert.deepEqual(tableIn(document, "| variable | names |"), ownVariableTable().split("\n"));
});
