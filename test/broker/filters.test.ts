// The filter language by itself: what conditions yield, what actions are accepted, where a bad one is wrong.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import * as fc from "fast-check";
import { Double } from "#load/broker/codec/encoded.ts";
import type { Expression, Property, Value } from "#load/broker/filters/sql-ast.ts";
import { evaluate, FilterEvaluationError } from "#load/broker/filters/sql-evaluate.ts";
import { FilterSyntaxError } from "#load/broker/filters/sql-lexer.ts";
import { parseAction, parseCondition } from "#load/broker/filters/sql-parser.ts";

const properties: Readonly<Record<string, Value>> = {
  color: "red",
  size: 7,
  price: 2.5,
  big: 2n ** 60n,
  on: true,
  when: new Date("2024-01-02T00:00:00Z"),
  "odd name": "x",
  "br]ack": "y",
  "sys.label": "greeting",
  percent: "50%",
  half: new Double(5),
  wrong: new Double(NaN),
  größe: 3,
  path: "a_b",
  'quo"te': "z",
  name_of: "color",
};

const view = { valueOf: ({ scope, name }: Property): Value => properties[scope === "sys" ? `sys.${name.toLowerCase()}` : name] };
const result = (text: string): Value => evaluate(parseCondition(text), view);

const conditions: readonly (readonly [string, boolean | undefined])[] = [
  ["color = 'red'", true],
  ["color = 'RED'", false],
  ["color <> 'blue' AND size > 5", true],
  ["color != 'red' OR size >= 7", true],
  ["NOT color = 'red'", false],
  ["not (color = 'red' and size < 3)", true],
  ["size = 7.0", true],
  ["size + 1 = 8 AND size - 1 = 6 AND size * 2 = 14 AND size / 2 = 3 AND size % 4 = 3", true],
  ["price * 2 = 5", true],
  ["2 + 3 * 4 = 14 AND (2 + 3) * 4 = 20", true],
  ["-size = -7 AND +size = 7 AND - -size = 7", true],
  ["1e3 = 1000 AND 1.5E-1 < 0.2 AND .5 = 0.5", true],
  ["big = 1152921504606846976", true],
  ["big > 1152921504606846975", true],
  ["color + 'dish' = 'reddish'", true],
  ["on", true],
  ["on = TRUE AND NOT on = false", true],
  ["nothing = 1", undefined],
  ["NOT nothing = 1", undefined],
  ["nothing = 1 OR on", true],
  ["nothing = 1 AND NOT on", false],
  ["nothing IS NULL AND color IS NOT NULL", true],
  ["color IS NULL", false],
  ["EXISTS(color) AND NOT EXISTS(nothing)", true],
  ["exists([odd name])", true],
  ["color IN ('blue', 'red')", true],
  ["color NOT IN ('blue', 'green')", true],
  ["size IN (1, 7.0)", true],
  ["size IN (1, nothing)", undefined],
  ["nothing IN (1, 2)", undefined],
  ["color LIKE 'r%'", true],
  ["color LIKE '_e_'", true],
  ["color LIKE '%e%d%'", true],
  ["color NOT LIKE 'b%'", true],
  ["color LIKE 'r'", false],
  ["percent LIKE '50!%' ESCAPE '!'", true],
  ["percent LIKE '5!0!%' ESCAPE '!'", true],
  ["nothing LIKE 'a%'", undefined],
  ["[odd name] = 'x' AND [br]]ack] = 'y' AND \"odd name\" = 'x'", true],
  ["user.color = 'red' AND USER.color = 'red'", true],
  ["sys.Label = 'greeting' AND SYS.label LIKE 'gr%'", true],
  ["property('odd name') = 'x' AND p('col' + 'or') = 'red' AND property(name_of) = 'red'", true],
  ["property(nothing) = 'x'", undefined],
  ["größe = 3 AND EXISTS(größe)", true],
  ["half / 2 = 2.5 AND size / 2 = 3 AND size / 2.0 = 3.5 AND 7 % 2.5 = 2", true],
  ["half = 5 AND half IN (5) AND half + size = 12 AND big * 2 > 5.5", true],
  ["half / 0 > 1000000 AND -half / 0 < -1000000", true],
  ["wrong > 1 OR wrong < 1 OR wrong = wrong", false],
  ["wrong <> 1", true],
  ["9223372036854775807 > big AND -9223372036854775808 < -big", true],
  ["9223372036854775807 + 1 = -9223372036854775808", true],
  ["color + 7 = 'red7' AND 1 + color = '1red' AND color + on = 'redTrue' AND color + half = 'red5'", true],
  ["nothing + 1 IS NULL AND -nothing IS NULL AND color + nothing IS NULL", true],
  ["nothing NOT IN (1, 2)", undefined],
  ["nothing NOT LIKE 'a%'", undefined],
  ["color LIKE nothing", undefined],
  ["color = NULL OR color <> NULL", undefined],
  ["on AND nothing", undefined],
  ["nothing OR NOT on", undefined],
  ["nothing OR nothing", undefined],
  ["nothing AND nothing", undefined],
  ["NOT on OR NOT on AND on", false],
  ["on OR on AND NOT on", true],
  ["NOT size = 1 AND size = 7", true],
  ["NOT on = false", true],
  ["10 - 3 - 2 = 5 AND 24 / 4 / 3 = 2 AND 2 * 7 % 4 = 2 AND 1 + 6 % 4 = 3", true],
  ["color > 'blue' AND color >= 'red' AND color < 'reds' AND 'a' < 'b'", true],
  ["percent LIKE '%\\%' ESCAPE '\\'", true],
  ["path LIKE 'a\\_b' ESCAPE '\\' AND 'aXb' NOT LIKE 'a\\_b' ESCAPE '\\'", true],
  ["'100%' LIKE '100!%' ESCAPE '!' AND '1000' NOT LIKE '100!%' ESCAPE '!'", true],
  ["when > '2024-01-01' AND when < '2025-01-01'", true],
  ["color = 1", undefined],
  ["'it''s' = 'it''s'", true],
  ["'it''s' LIKE 'it_s' AND 'it''s' <> 'it_''s'", true],
  ['"quo""te" = \'z\' AND [quo"te] = \'z\'', true],
  ["newid() <> newid()", true],
  ["NULL IS NULL", true],
  ["1=1", true],
  ["TRUE", true],
];
for (const [text, expected] of conditions) {
  test(`yields ${expected} for ${text}`, () => assert.equal(result(text), expected));
}

const bad: readonly (readonly [string, RegExp])[] = [
  ["color =", /expected a property, a constant or a condition, found the end at position 8/],
  ["color = 'red", /expected a string that ends with ', found the end at position 9/],
  ["color == 'red'", /found '=' at position 8/],
  ["(size > 1", /expected '\)', found the end at position 10/],
  ["size > 1 size", /expected the end, or an operator, found 'size' at position 10/],
  ["size + 1", /expected a condition, found a value at position 1/],
  ["sys.Colour = 1", /expected a system property, found 'sys.Colour' at position 5/],
  ["our.color = 1", /expected the scope sys or user, found 'our' at position 1/],
  ["color IS 1", /expected NULL, found '1' at position 10/],
  ["color NOT = 1", /expected IN or LIKE, found '=' at position 11/],
  ["size IN ()", /found '\)' at position 10/],
  ["color = #", /expected a part of an expression, found '#' at position 9/],
  ["x = @y", /expected the value of the parameter @y, found none at position 5/],
  ["", /found the end at position 1/],
  ["color BETWEEN 1 AND 2", /expected the end, or an operator, found 'BETWEEN' at position 7/],
  ["size = 9223372036854775808", /expected a whole number of 64 bits, found '9223372036854775808' at position 8/],
  ["size = -9223372036854775809", /expected a whole number of 64 bits, found '9223372036854775809' at position 9/],
  ["_size = 1", /expected a name that begins with a letter, or one in brackets, found '_' at position 1/],
  ["color LIKE 5", /expected a pattern in quotes, found '5' at position 12/],
  ["color LIKE 'a' ESCAPE 'ab'", /expected one character in quotes, found 'ab' at position 23/],
  ["color LIKE 'a' ESCAPE ''", /expected one character in quotes, found '' at position 23/],
  ["EXISTS('color')", /expected a property, a constant or a condition, found 'color' at position 8/],
  ["EXISTS color", /expected a property, a constant or a condition, found 'EXISTS' at position 1/],
  ["color IN 'red'", /expected '\(', found 'red' at position 10/],
  ["color IN ('red'", /expected ',' or '\)', found the end at position 16|expected '\)', found the end at position 16/],
  ["color <> ", /found the end at position 10/],
  ["AND color = 1", /found 'AND' at position 1/],
  ["color = 1 AND", /found the end at position 14/],
  ["(1 = 1) (2 = 2)", /found '\(' at position 9/],
  ['"color', /expected a name that ends with ", found the end at position 1/],
  ["[color = 1", /expected a name that ends with \], found the end at position 1/],
  ["sys.[Label] = sys.Nothing", /found 'sys.Nothing' at position 19/],
  [`${"(".repeat(200)}1=1${")".repeat(200)}`, /levels of nesting/],
  [`a = '${"x".repeat(2000)}'`, /at most 1024 characters/],
];
for (const [text, message] of bad) {
  test(`refuses ${text.slice(0, 30)}`, () =>
    assert.throws(
      () => parseCondition(text),
      (error) => error instanceof FilterSyntaxError && message.test(error.message),
    ));
}

test("reads actions, and refuses bad ones", () => {
  assert.deepEqual(
    parseAction("SET a = 1; REMOVE [b c]; SET sys.Label = 'x' + a;").map(({ kind, property }) => [kind, property.scope, property.name]),
    [
      ["set", "user", "a"],
      ["remove", "user", "b c"],
      ["set", "sys", "Label"],
    ],
  );
  assert.deepEqual(
    parseAction("SET a = 1 REMOVE b, SET c = 2").map(({ property }) => property.name),
    ["a", "b", "c"],
  );
  assert.equal(parseAction("SET a = 1;".repeat(32)).length, 32);
  for (const [text, message] of [
    ["", /expected SET or REMOVE, found the end/],
    ["DROP a", /expected SET or REMOVE, found 'DROP' at position 1/],
    ["SET a = 1;".repeat(33), /at most 32 statements/],
    ["SET a = 1 AND 2", /expected SET or REMOVE, found 'AND' at position 11/],
    ["REMOVE", /found the end at position 7/],
    ["SET sys.Nothing = 1", /expected a system property, found 'sys.Nothing' at position 9/],
    ["SET a 1", /expected '=', found '1' at position 7/],
    ["SET sys.SequenceNumber = 1", /expected a property that can be changed, found sys.SequenceNumber at position 5/],
  ] as const) {
    assert.throws(
      () => parseAction(text),
      (error) => error instanceof FilterSyntaxError && message.test(error.message),
    );
  }
});

test("takes parameters, and tells what cannot be computed", () => {
  assert.equal(evaluate(parseCondition("color = @c", new Map([["c", "red"]])), view), true);
  assert.throws(() => result("on + 1 = 2"), FilterEvaluationError);
  assert.throws(() => result("when - 1 = 2"), FilterEvaluationError);
  assert.throws(() => result("property(size) = 2"), FilterEvaluationError);
  assert.throws(() => result("color LIKE 'a' ESCAPE color"), FilterEvaluationError);
  assert.throws(() => result("size % 0 = 2"), FilterEvaluationError);
  assert.throws(() => result("size / 0 = 2"), FilterEvaluationError);
});

test("agrees with a regular expression on LIKE, whatever the pattern", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "%", "_"), maxLength: 12 });
  fc.assert(
    fc.property(
      text.map((value) => value.replaceAll(/[%_]/g, "c")),
      text,
      (value, pattern) => {
        const expected = new RegExp(`^${pattern.replaceAll("%", "[^]*").replaceAll("_", "[^]")}$`).test(value);
        assert.equal(result(`'${value}' LIKE '${pattern}'`), expected);
      },
    ),
    { numRuns: 2000 },
  );
});

test("reads any text, or refuses it with a position", () => {
  const part = fc.constantFrom(
    "a",
    "sys.Label",
    "'x'",
    "1",
    "2.5",
    "=",
    "<>",
    "AND",
    "OR",
    "NOT",
    "(",
    ")",
    "IN",
    "LIKE",
    ",",
    "IS",
    "NULL",
    "+",
    "-",
    "[b]",
    "EXISTS",
    "@p",
    "#",
    "'",
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
      try {
        parseCondition(parts.join(" "));
      } catch (error) {
        assert.ok(error instanceof FilterSyntaxError, String(error));
        assert.match(error.message, /at position \d+$/);
      }
    }),
    { numRuns: 3000 },
  );
});

// --- precedence, against trees that are written down with as few parentheses as the grammar asks for ---

const values: fc.Arbitrary<Expression> = fc.oneof(
  fc.integer({ min: 0, max: 9 }).map((value): Expression => ({ kind: "constant", value })),
  fc.constantFrom("size", "nothing").map((name): Expression => ({ kind: "property", scope: "user", name })),
);

const { condition } = fc.letrec<{ sum: Expression; condition: Expression }>((tie) => ({
  sum: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    values,
    fc.record({
      kind: fc.constant("negate" as const),
      of: fc.constantFrom("size", "nothing").map((name) => ({ kind: "property" as const, scope: "user" as const, name })),
    }),
    fc.record({ kind: fc.constant("arithmetic" as const), operator: fc.constantFrom("+", "-", "*"), left: tie("sum"), right: tie("sum") }),
  ),
  condition: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.record({ kind: fc.constant("compare" as const), operator: fc.constantFrom("=", "<>", "<", "<=", ">", ">="), left: tie("sum"), right: tie("sum") }),
    fc.record({ kind: fc.constant("isNull" as const), of: tie("sum"), negated: fc.boolean() }),
    fc.record({ kind: fc.constant("in" as const), of: tie("sum"), items: fc.array(tie("sum"), { minLength: 1, maxLength: 3 }), negated: fc.boolean() }),
    fc.record({ kind: fc.constant("not" as const), of: tie("condition") }),
    fc.record({ kind: fc.constantFrom("and" as const, "or" as const), left: tie("condition"), right: tie("condition") }),
  ),
}));

/** How tightly what an expression is made of holds together. */
function bindingOf(expression: Expression): number {
  switch (expression.kind) {
    case "or":
      return 1;
    case "and":
      return 2;
    case "not":
      return 3;
    case "compare":
    case "isNull":
    case "in":
      return 4;
    case "arithmetic":
      return expression.operator === "*" ? 6 : 5;
    default:
      return 7;
  }
}

/** The text of an expression, in parentheses only where its place needs something that holds together more tightly. */
function written(expression: Expression, bindingMin = 0): string {
  const text = writtenOpen(expression);
  return bindingOf(expression) < bindingMin ? `(${text})` : text;
}

function writtenOpen(expression: Expression): string {
  switch (expression.kind) {
    case "constant":
      return JSON.stringify(expression.value);
    case "property":
      return expression.name;
    case "negate":
      return `- ${written(expression.of, 7)}`;
    case "arithmetic": {
      const binding = bindingOf(expression);
      return `${written(expression.left, binding)} ${expression.operator} ${written(expression.right, binding + 1)}`;
    }
    case "compare":
      return `${written(expression.left, 5)} ${expression.operator} ${written(expression.right, 5)}`;
    case "isNull":
      return `${written(expression.of, 5)} IS ${expression.negated ? "NOT " : ""}NULL`;
    case "in":
      return `${written(expression.of, 5)} ${expression.negated ? "NOT " : ""}IN (${expression.items.map((item) => written(item, 5)).join(", ")})`;
    case "not":
      return `NOT ${written(expression.of, 3)}`;
    case "and":
      return `${written(expression.left, 2)} AND ${written(expression.right, 3)}`;
    case "or":
      return `${written(expression.left, 1)} OR ${written(expression.right, 2)}`;
    default:
      return assert.fail(`expected no ${expression.kind} here`);
  }
}

test("reads what it is given with the precedence of SQL, whatever the expression", () => {
  fc.assert(
    fc.property(condition, (tree) => {
      const text = written(tree);
      fc.pre(text.length <= 1024);
      assert.equal(result(text), evaluate(tree, view), text);
    }),
    { numRuns: 5000 },
  );
});

test("yields unknown exactly where SQL does: a tree of three-valued conditions against its table", () => {
  const table = (tree: Expression): boolean | undefined => {
    if (tree.kind === "and" || tree.kind === "or") {
      const [left, right] = [table(tree.left), table(tree.right)];
      const [stops, goesOn] = tree.kind === "and" ? [false, true] : [true, false];
      return left === stops || right === stops ? stops : left === undefined || right === undefined ? undefined : goesOn;
    }
    if (tree.kind === "not") {
      const inner = table(tree.of);
      return inner === undefined ? undefined : !inner;
    }
    return evaluate(tree, view) as boolean | undefined;
  };
  fc.assert(
    fc.property(condition, (tree) => assert.equal(evaluate(tree, view), table(tree), written(tree))),
    { numRuns: 5000 },
  );
});
