// The table of platform events in the documentation is what the catalogue makes; the failing test shows the rows to put there.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { platformEventTypes, platformRows } from "#runtime/core/platform-catalogue.ts";
import { isEventType, isVersion } from "#runtime/core/event-envelope.ts";
import { readDocument } from "../support/markdown.ts";
import { platformEventTable } from "../support/platform-event-table.ts";

test("the table of platform events is what the catalogue makes", () => {
  const document = readDocument("runtime/PLATFORM-EVENTS.md");
  const start = document.indexOf("| event type |");
  const end = document.indexOf("\n\n", start);
  const there = document.slice(start, end).split("\n");
  const rows = platformEventTable().split("\n");
  const missing = rows.filter((row) => !there.includes(row));
  assert.deepEqual(missing, [], "expected runtime/PLATFORM-EVENTS.md to hold these rows; put them there");
  assert.deepEqual(there, rows, "expected the table to hold nothing else, in this order");
});

test("each platform event has a type of its own and a version, as envelopes demand them", () => {
  assert.equal(new Set(platformEventTypes).size, platformEventTypes.length);
  assert.ok(platformRows.every(({ eventType, version }) => isEventType(eventType) && isVersion(version)));
});

test("each event of a trouble has one that tells of its end", () => {
  const begun = platformEventTypes.flatMap((type) => /^(.+)(?:Down|Unavailable|Disturbed|Degraded)$/.exec(type)?.[1] ?? []);
  assert.ok(begun.includes("Store"), begun.join(" "));
  assert.deepEqual(
    begun.filter((what) => !platformEventTypes.includes(`${what}Recovered`)),
    [],
  );
});
