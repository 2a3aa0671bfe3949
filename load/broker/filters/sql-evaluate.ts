// What a SQL expression yields for a message. A property that is not there is unknown, and so is what is computed or
// compared with it; a condition selects a message when it is true, not when it is unknown.
import { randomUUID } from "node:crypto";
import { Double } from "../codec/encoded.ts";
import { timeOf } from "./times.ts";
import type { Arithmetic, Comparison, Expression, Property, Value } from "./sql-ast.ts";

/** What filters see of a message. */
export interface FilterView {
  valueOf(property: Property): Value;
}

/** An expression that cannot be computed for a message, such as a sum of a date and a number. */
export class FilterEvaluationError extends Error {
  readonly code = "FilterEvaluation";
}

export function evaluate(expression: Expression, view: FilterView): Value {
  switch (expression.kind) {
    case "constant":
      return expression.value;
    case "property":
      return view.valueOf(expression);
    case "propertyOf":
      return propertyOf(evaluate(expression.name, view), view);
    case "newId":
      return randomUUID();
    case "negate":
      return arithmetic("-", 0, evaluate(expression.of, view));
    case "arithmetic":
      return arithmetic(expression.operator, evaluate(expression.left, view), evaluate(expression.right, view));
    case "compare":
      return compare(expression.operator, evaluate(expression.left, view), evaluate(expression.right, view));
    case "isNull":
      return (evaluate(expression.of, view) === undefined) !== expression.negated;
    case "exists":
      return view.valueOf(expression.property) !== undefined;
    case "in":
      return negatedIf(expression.negated, isIn(evaluate(expression.of, view), expression.items, view));
    case "like":
      return negatedIf(
        expression.negated,
        isLike(evaluate(expression.of, view), evaluate(expression.pattern, view), expression.escape && evaluate(expression.escape, view)),
      );
    case "and":
    case "or":
      return junction(expression, view);
    case "not":
      return negatedIf(true, truth(evaluate(expression.of, view)));
  }
}

function propertyOf(name: Value, view: FilterView): Value {
  if (name === undefined) return undefined;
  if (typeof name !== "string") throw new FilterEvaluationError(`expected text as the name of a property, found ${describe(name)}`);
  return view.valueOf({ kind: "property", scope: "user", name });
}

function junction({ kind, left, right }: Extract<Expression, { kind: "and" | "or" }>, view: FilterView): boolean | undefined {
  // One false decides an AND, one true decides an OR, whatever the other side is.
  const decides = kind === "or";
  const first = truth(evaluate(left, view));
  if (first === decides) return decides;
  const second = truth(evaluate(right, view));
  if (second === decides) return decides;
  return first === undefined || second === undefined ? undefined : !decides;
}

function truth(value: Value): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

function negatedIf(negated: boolean, value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : value !== negated;
}

function isIn(value: Value, items: readonly Expression[], view: FilterView): boolean | undefined {
  let unknown = value === undefined;
  let found = false;
  for (const item of items) {
    const equal = compare("=", value, evaluate(item, view));
    if (equal === undefined) unknown = true;
    else found ||= equal;
  }
  if (found) return true;
  return unknown ? undefined : false;
}

/** Whether two values are in that order; undefined when one is unknown or they are of kinds that do not compare. */
export function compare(operator: Comparison, left: Value, right: Value): boolean | undefined {
  if (left === undefined || right === undefined) return undefined;
  const order = orderOf(plainNumber(left), plainNumber(right));
  if (order === undefined) return undefined;
  switch (operator) {
    case "=":
      return order === 0;
    case "<>":
      return order !== 0;
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case ">":
      return order > 0;
    case ">=":
      return order >= 0;
  }
}

/** Doubles and whole numbers compare by value. */
function plainNumber(value: NonNullable<Value>): Exclude<NonNullable<Value>, Double> {
  return value instanceof Double ? value.value : value;
}

function orderOf(left: Exclude<NonNullable<Value>, Double>, right: Exclude<NonNullable<Value>, Double>): number | undefined {
  // What is no number is different from everything, and in no order with it.
  if (isNumber(left) && isNumber(right)) return left < right ? -1 : left > right ? 1 : left == right ? 0 : NaN;
  if (typeof left === "string" && typeof right === "string") return left < right ? -1 : Number(left > right);
  if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
  if (left instanceof Date || right instanceof Date) return timesOrder(left, right);
  if (Buffer.isBuffer(left) && Buffer.isBuffer(right)) return left.compare(right);
  return undefined;
}

/** Times compare with each other, and with text that is a time: conditions cannot write one down otherwise. */
function timesOrder(left: Exclude<NonNullable<Value>, Double>, right: Exclude<NonNullable<Value>, Double>): number | undefined {
  const [a, b] = [left, right].map((value) => (value instanceof Date ? value.getTime() : typeof value === "string" ? (timeOf(value)?.getTime() ?? NaN) : NaN));
  return a === undefined || b === undefined || Number.isNaN(a - b) ? undefined : a - b;
}

function isNumber(value: Value): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}

function arithmetic(operator: Arithmetic, left: Value, right: Value): Value {
  if (left === undefined || right === undefined) return undefined;
  if (operator === "+" && (typeof left === "string" || typeof right === "string")) return textOf(left) + textOf(right);
  const a = plainNumber(left);
  const b = plainNumber(right);
  if (!isNumber(a) || !isNumber(b)) throw new FilterEvaluationError(`expected numbers for '${operator}', found ${describe(left)} and ${describe(right)}`);
  if (!isWhole(left) || !isWhole(right)) return new Double(ofNumbers(operator, Number(a), Number(b)));
  if ((operator === "/" || operator === "%") && Number(b) === 0) throw new FilterEvaluationError("expected a divisor other than 0");
  return narrow(ofWholes(operator, BigInt(a), BigInt(b)));
}

/** A number that came as a double is none, even where nothing follows its point. */
function isWhole(value: NonNullable<Value>): boolean {
  return typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
}

/** A value that is added to text. */
export function textOf(value: NonNullable<Value>): string {
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("base64");
  return String(value instanceof Double ? value.value : value);
}

function ofWholes(operator: Arithmetic, left: bigint, right: bigint): bigint {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
  }
}

function ofNumbers(operator: Arithmetic, left: number, right: number): number {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return left / right;
    case "%":
      return left % right;
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : BigInt.asIntN(64, value);
}

/** A value by its kind, for an error. */
export function describe(value: NonNullable<Value>): string {
  if (value instanceof Double) return "a number";
  return value instanceof Date ? "a time" : Buffer.isBuffer(value) ? "binary" : `a ${typeof value}`;
}

/** % stands for any text, _ for one character; the escape character takes their meaning from them. */
function isLike(value: Value, pattern: Value, escape: Value): boolean | undefined {
  if (typeof value !== "string" || typeof pattern !== "string") return undefined;
  if (escape !== undefined && (typeof escape !== "string" || escape.length !== 1))
    throw new FilterEvaluationError(`expected one character after ESCAPE, found ${textOf(escape)}`);
  const parts = partsOf(pattern, escape);
  let at = 0;
  let part = 0;
  // Where the last % stands, and how far it reaches: it reaches further whenever the rest does not fit.
  let anyPart = -1;
  let anyUntil = 0;
  while (at < value.length) {
    const wanted = parts[part];
    if (wanted === any) {
      anyPart = part++;
      anyUntil = at;
    } else if (wanted === one || wanted === value[at]) {
      part++;
      at++;
    } else if (anyPart >= 0) {
      part = anyPart + 1;
      at = ++anyUntil;
    } else return false;
  }
  return parts.slice(part).every((rest) => rest === any);
}

const any = Symbol("any");
const one = Symbol("one");

function partsOf(pattern: string, escape: string | undefined): (string | symbol)[] {
  const parts: (string | symbol)[] = [];
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i] ?? "";
    if (character === escape && i + 1 < pattern.length) parts.push(pattern[++i] ?? "");
    else parts.push(character === "%" ? any : character === "_" ? one : character);
  }
  return parts;
}
