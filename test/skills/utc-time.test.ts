import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { utcTimeOf } from "#runtime/skills/host/utc-time.ts";

const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** As `Date` has it, whatever the text looks like. */
function byDate(text: string): string | undefined {
  const match = pattern.exec(text);
  if (match === null) return undefined;
  const zoned = match[1] === undefined ? `${text}Z` : text;
  if (Number.isNaN(Date.parse(zoned))) return undefined;
  return zoned.endsWith("Z") ? zoned : new Date(zoned).toISOString();
}

const number = (digits: number, max: number): fc.Arbitrary<string> => fc.nat(max).map((value) => String(value).padStart(digits, "0"));
const time = fc
  .tuple(number(4, 9_999), number(2, 14), number(2, 33), number(2, 26), number(2, 63), number(2, 63))
  .map(([year, month, day, hour, minute, second]) => `${year}-${month}-${day}T${hour}:${minute}:${second}`);
const fraction = fc.oneof(
  fc.constant(""),
  fc.string({ unit: fc.constantFrom("0", "1", "5", "9"), maxLength: 11 }).map((digits) => `.${digits}`),
);
const zone = fc.constantFrom("Z", "Z", "Z", "", "z", "+02:00", "-0530", "+25:00");

test("a time is what Date takes it for, also where it is told without asking", () => {
  fc.assert(
    fc.property(time, fraction, zone, (start, digits, end) => {
      const text = `${start}${digits}${end}`;
      assert.equal(utcTimeOf(text), byDate(text), text);
    }),
    { numRuns: 2_000 },
  );
});

test("a character that does not belong into a time is found wherever it stands", () => {
  const right = "2024-05-01T12:00:00.123Z";
  assert.equal(utcTimeOf(right), right);
  for (let at = 0; at < right.length; at += 1) {
    for (const other of ["/", ":", "x", "-", " ", "\u0661"]) {
      const text = `${right.slice(0, at)}${other}${right.slice(at + 1)}`;
      assert.equal(utcTimeOf(text), byDate(text), text);
    }
  }
});
