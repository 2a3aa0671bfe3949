// The table of platform events in the documentation is what the catalogue makes; the failing test shows the table to put there.
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
  assert.equal(document.slice(start, end), platformEventTable(), "expected runtime/PLATFORM-EVENTS.md to hold this table; put it there");
});

test("each platform event has a type of its own and a version, as envelopes demand them", () => {
  assert.equal(new Set(platformEventTypes).size, platformEventTypes.length);
  assert.ok(platformRows.every(({ eventType, version }) => isEventType(eventType) && isVersion(version)));
});
