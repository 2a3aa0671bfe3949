// Rules over `$management` of a subscription.
import { encode } from "#runtime/amqp/codec/encode.ts";
import { format } from "#runtime/amqp/codec/formats.ts";
import { type Encodable, Raw, ulong } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import { forEachNamed } from "../codec/encoded.ts";
import { readable } from "../codec/readable.ts";
import type { Subscription } from "../entities/topic.ts";
import { type CorrelationField, type FilterDescription, type Rule, type RuleDescription, rulesMax } from "../filters/rules.ts";
import type { Constant } from "../filters/sql-ast.ts";
import { FilterSyntaxError } from "../filters/sql-lexer.ts";
import type { ProtocolContext } from "./context.ts";
import { BadRequest, done, type Entity, noContent, numberOf, type Operation, type Reply, textOf } from "./management-fields.ts";
import { ruleExists, ruleNotFound } from "./refusals.ts";
import { constantOfTyped, encodableOf } from "./rule-constants.ts";

export const ruleOperations: readonly (readonly [string, Operation])[] = [
  ["com.microsoft:add-rule", addRule],
  ["com.microsoft:remove-rule", removeRule],
  ["com.microsoft:enumerate-rules", enumerateRules],
];

/** Described types by their codes. */
const codes = {
  rule: 1335734829060,
  emptyAction: 1335734829061,
  sqlAction: 1335734829062,
  sql: 83483426822,
  true: 83483426823,
  false: 83483426824,
  correlation: 83483426825,
};

/** The names of a correlation filter's fields in a request, in the order that they have in a reply. */
const fieldNames: readonly (readonly [CorrelationField, string])[] = [
  ["correlationId", "correlation-id"],
  ["messageId", "message-id"],
  ["to", "to"],
  ["replyTo", "reply-to"],
  ["subject", "label"],
  ["sessionId", "session-id"],
  ["replyToSessionId", "reply-to-session-id"],
  ["contentType", "content-type"],
];

/** Rules of one reply at most. */
const pageMax = 1000;

function addRule(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const { rules, queue } = subscriptionOf(entity);
  const name = nameOf(fields);
  if (rules.get(name) !== undefined) return { code: 409, ...ruleExists(queue.path, name) };
  if (rules.size >= rulesMax) return { code: 403, description: `A subscription has at most ${rulesMax} rules.`, condition: "amqp:resource-limit-exceeded" };
  const rule = ruleOf(name, mapOf(fields, "rule-description"));
  const trouble = context.ruleTrouble(queue.path, rule);
  if (trouble !== undefined) return { code: 403, description: trouble, condition: "amqp:resource-limit-exceeded" };
  try {
    rules.add(rule, context.nowMs());
  } catch (error) {
    if (error instanceof FilterSyntaxError) throw new BadRequest(error.message);
    throw error;
  }
  context.onDefinitions();
  return done;
}

function removeRule(fields: MapView, entity: Entity, context: ProtocolContext): Reply {
  const name = nameOf(fields);
  const { rules, queue } = subscriptionOf(entity);
  if (rules.remove(name)) {
    context.onDefinitions();
    return done;
  }
  return { code: 404, ...ruleNotFound(queue.path, name) };
}

function enumerateRules(fields: MapView, entity: Entity): Reply {
  const skip = Math.max(0, numberOf(fields, "skip"));
  const rules = subscriptionOf(entity)
    .rules.all()
    .slice(skip, skip + Math.min(numberOf(fields, "top"), pageMax));
  if (rules.length === 0) return noContent("amqp:not-found");
  return { ...done, body: { rules: rules.map((rule) => ({ "rule-description": encodeRule(rule) })) } };
}

function ruleOf(name: string, description: MapView): RuleDescription {
  const action = description.view("sql-rule-action")?.asMap();
  return { name, filter: filterOf(description), action: action === undefined ? undefined : { expression: expressionOf(action), parameters: new Map() } };
}

function filterOf(description: MapView): FilterDescription {
  const sql = description.view("sql-filter")?.asMap();
  if (sql !== undefined) return { kind: "sql", expression: expressionOf(sql), parameters: new Map() };
  const correlation = description.view("correlation-filter")?.asMap();
  if (correlation !== undefined) {
    const fields = new Map<CorrelationField, string>();
    for (const [field, name] of fieldNames) {
      const value = correlation.get(name);
      if (value !== undefined && value !== null) fields.set(field, String(readable(value)));
    }
    const properties = correlation.view("properties")?.asMap();
    return { kind: "correlation", fields, properties: properties === undefined ? new Map() : constantsOf(properties) };
  }
  if (description.has("true-filter")) return { kind: "true" };
  if (description.has("false-filter")) return { kind: "false" };
  throw new BadRequest("'rule-description' must hold a 'sql-filter' or a 'correlation-filter'.");
}

function constantsOf(properties: MapView): Map<string, Constant> {
  const constants = new Map<string, Constant>();
  forEachNamed(properties, (name, value) => constants.set(name, constantOfTyped(value.typed())));
  return constants;
}

function expressionOf(sql: MapView): string {
  const expression = sql.get("expression");
  if (typeof expression !== "string") throw new BadRequest("'expression' must be text.");
  return expression;
}

function encodeRule({ description }: Rule): Encodable {
  const { name, action, filter } = description;
  const actionList = action === undefined ? described(codes.emptyAction, []) : described(codes.sqlAction, [action.expression, 20]);
  return described(codes.rule, [encodeFilter(filter), actionList, name]);
}

/** A list under a descriptor that is a code. */
function described(code: number, items: readonly Encodable[]): Raw {
  return new Raw(Buffer.concat([Buffer.from([format.described]), encode(ulong(code)), encode(items)]));
}

function encodeFilter(filter: FilterDescription): Encodable {
  switch (filter.kind) {
    case "true":
    case "false":
      return described(codes[filter.kind], []);
    case "sql":
      return described(codes.sql, [filter.expression, 20]);
    case "correlation": {
      const properties = new Map([...filter.properties].map(([name, constant]) => [name, encodableOf(constant)]));
      return described(codes.correlation, [...fieldNames.map(([field]) => filter.fields.get(field) ?? null), properties]);
    }
  }
}

function subscriptionOf(entity: Entity): Subscription {
  const subscription = entity.kind === "queue" ? entity.subscription : undefined;
  if (subscription === undefined) throw new BadRequest("Rules belong to subscriptions.");
  return subscription;
}

function nameOf(fields: MapView): string {
  const name = textOf(fields, "rule-name");
  if (name === undefined || name === "") throw new BadRequest("'rule-name' must be text.");
  return name;
}

function mapOf(fields: MapView, name: string): MapView {
  const value = fields.view(name)?.asMap();
  if (value === undefined) throw new BadRequest(`'${name}' must be a map.`);
  return value;
}
