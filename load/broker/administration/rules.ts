// Rules as the administration API carries them.
import type { CorrelationField, FilterDescription, Rule, RuleDescription, SqlText } from "../filters/rules.ts";
import type { Constant } from "../filters/sql-ast.ts";
import { BadXmlError, childOf, type Description, type ParsedElement, textOf, type XmlElement } from "./atom.ts";

const schemaNamespace = "http://www.w3.org/2001/XMLSchema";
const pairName = "KeyValueOfstringanyType";

/** In the order that the real service keeps. */
const fieldNames: readonly (readonly [CorrelationField, string])[] = [
  ["correlationId", "CorrelationId"],
  ["messageId", "MessageId"],
  ["to", "To"],
  ["replyTo", "ReplyTo"],
  ["subject", "Label"],
  ["sessionId", "SessionId"],
  ["replyToSessionId", "ReplyToSessionId"],
  ["contentType", "ContentType"],
];

export function describeRule(subscriptionPath: string, { description, createdAtMs }: Rule): Description {
  const { name, action } = description;
  const fields = {
    Filter: filterXml(description.filter),
    Action: action === undefined ? { "@i:type": "EmptyRuleAction" } : { "@i:type": "SqlRuleAction", ...sqlXml(action) },
    CreatedAt: new Date(createdAtMs).toISOString(),
    Name: name,
  };
  return { path: `${subscriptionPath}/Rules/${name}`, title: name, kind: "RuleDescription", fields, version: fields, createdAtMs, updatedAtMs: createdAtMs };
}

function filterXml(filter: FilterDescription): XmlElement {
  switch (filter.kind) {
    case "true":
      return { "@i:type": "TrueFilter", SqlExpression: "1=1", CompatibilityLevel: 20 };
    case "false":
      return { "@i:type": "FalseFilter", SqlExpression: "1=0", CompatibilityLevel: 20 };
    case "sql":
      return { "@i:type": "SqlFilter", ...sqlXml(filter) };
    case "correlation": {
      const named = fieldNames.flatMap(([field, name]) => (filter.fields.has(field) ? [[name, filter.fields.get(field)] as const] : []));
      return { "@i:type": "CorrelationFilter", ...Object.fromEntries(named), Properties: pairsXml(filter.properties) };
    }
  }
}

function sqlXml({ expression, parameters }: SqlText): XmlElement {
  return { SqlExpression: expression, CompatibilityLevel: 20, Parameters: pairsXml(new Map([...parameters].map(([name, value]) => [`@${name}`, value]))) };
}

function pairsXml(values: ReadonlyMap<string, Constant>): XmlElement | undefined {
  if (values.size === 0) return undefined;
  const pairs = [...values].map(([key, value]) => ({ Key: key, Value: { "@i:type": `d6p1:${typeOf(value)}`, "@xmlns:d6p1": schemaNamespace, "#text": textOfValue(value) } }));
  return { [pairName]: pairs };
}

function typeOf(value: Constant): string {
  if (value instanceof Date) return "dateTime";
  if (typeof value === "bigint") return "long";
  if (typeof value === "number") return !Number.isInteger(value) ? "double" : Math.abs(value) < 2 ** 31 ? "int" : "long";
  return typeof value === "boolean" ? "boolean" : "string";
}

function textOfValue(value: Constant): string {
  return value instanceof Date ? value.toISOString() : String(value);
}

/** @throws BadXmlError when the description is not of a rule */
export function readRule(name: string, element: ParsedElement): RuleDescription {
  const filter = childOf(element, "Filter");
  const action = childOf(element, "Action");
  return { name, filter: filter === undefined ? { kind: "true" } : readFilter(filter), action: textOf(action, "SqlExpression") === undefined ? undefined : readSql(action) };
}

function readFilter(element: ParsedElement): FilterDescription {
  const type = textOf(element, "@type");
  switch (type) {
    case "TrueFilter":
      return { kind: "true" };
    case "FalseFilter":
      return { kind: "false" };
    case "SqlFilter":
      return { kind: "sql", ...readSql(element) };
    case "CorrelationFilter": {
      const fields = new Map<CorrelationField, string>();
      for (const [field, xmlName] of fieldNames) {
        const value = textOf(element, xmlName);
        if (value !== undefined && value !== "") fields.set(field, value);
      }
      return { kind: "correlation", fields, properties: readPairs(childOf(element, "Properties")) };
    }
    default:
      throw new BadXmlError(`A filter's type must be SqlFilter, TrueFilter, FalseFilter or CorrelationFilter; it is '${type ?? ""}'.`);
  }
}

function readSql(element: ParsedElement | undefined): SqlText {
  const expression = textOf(element, "SqlExpression");
  if (expression === undefined || expression.trim() === "") throw new BadXmlError("SqlExpression must be there and not be empty.");
  // Clients name a parameter as the expression does, with the @.
  const parameters = new Map([...readPairs(childOf(element, "Parameters"))].map(([name, value]) => [name.replace(/^@/, ""), value]));
  return { expression, parameters };
}

function readPairs(element: ParsedElement | undefined): Map<string, Constant> {
  const values = new Map<string, Constant>();
  const pairs = element?.[pairName];
  for (const pair of Array.isArray(pairs) ? pairs : pairs === undefined ? [] : [pairs]) {
    if (typeof pair === "string") continue;
    const key = textOf(pair as ParsedElement, "Key");
    const value = (pair as ParsedElement)["Value"];
    if (key !== undefined) values.set(key, readValue(value));
  }
  return values;
}

function readValue(value: ParsedElement[string]): Constant {
  if (value === undefined || typeof value === "string" || Array.isArray(value)) return typeof value === "string" ? value : undefined;
  const element = value as ParsedElement;
  const text = textOf(element, "#text") ?? "";
  const type = (textOf(element, "@type") ?? "").replace(/^.*:/, "");
  switch (type) {
    case "int":
    case "long":
    case "short":
    case "byte":
    case "double":
    case "float":
    case "decimal":
      return Number(text);
    case "boolean":
      return text.trim().toLowerCase() === "true";
    case "dateTime":
      // One that names no zone is meant as UTC, wherever this runs.
      return new Date(/(?:[zZ]|[+-]\d\d:?\d\d)$/.test(text.trim()) ? text : `${text.trim()}Z`);
    default:
      return text;
  }
}
