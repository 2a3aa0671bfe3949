// Rules as the administration API carries them.
import { constantOf, writtenOf } from "../filters/constants.ts";
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
  return { [pairName]: [...values].map(([key, value]) => ({ Key: key, Value: value === undefined ? { "@i:nil": true } : valueXml(writtenOf(value)) })) };
}

function valueXml({ type, text }: ReturnType<typeof writtenOf>): XmlElement {
  return { "@i:type": `d6p1:${type}`, "@xmlns:d6p1": schemaNamespace, "#text": text };
}

/** @throws BadXmlError when the description is not of a rule */
export function readRule(name: string, element: ParsedElement): RuleDescription {
  const filter = childOf(element, "Filter");
  const action = childOf(element, "Action");
  return {
    name,
    filter: filter === undefined ? { kind: "true" } : readFilter(filter),
    action: textOf(action, "SqlExpression") === undefined ? undefined : readSql(action),
  };
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
    if (key !== undefined) values.set(key, readValue(key, value));
  }
  return values;
}

/** A value without a type is text. */
function readValue(key: string, value: ParsedElement[string]): Constant {
  if (value === undefined || typeof value === "string" || Array.isArray(value)) return typeof value === "string" ? value : undefined;
  const element = value as ParsedElement;
  if (textOf(element, "@nil") === "true") return undefined;
  const text = textOf(element, "#text") ?? "";
  const type = (textOf(element, "@type") ?? "string").replace(/^.*:/, "");
  const constant = constantOf(type, text);
  if (constant === undefined) throw new BadXmlError(`The value of ${key} must be of a type of XML Schema; '${text}' is no ${type}.`);
  return constant;
}
