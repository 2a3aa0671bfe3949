/** A page of all events, for people: what each carries in each version, who handles and emits it, and what changed. */
import { compareSchemas } from "./compare-schemas.ts";
import type { EventUsers } from "./event-users.ts";
import { type ContractRegistry, type ContractType, type ContractVersion, newestOf } from "./registry.ts";
import { type Node, listOf, recordOf, viewOf } from "./schema-view.ts";

const depthMax = 8;

/** As Markdown. */
export function describeEvents(registry: ContractRegistry, users: readonly EventUsers[]): string {
  const index = users.map(({ eventType, handledBy, emittedBy }) => {
    const type = registry.types.get(eventType);
    const name = type === undefined ? `\`${eventType}\`` : `[\`${eventType}\`](#${anchorOf(eventType)})`;
    return row([
      name,
      type?.versions.map(({ version }) => version).join(", ") ?? "no contract",
      emittedBy.map(({ skill }) => skill).join(", "),
      handledBy.map(({ skill }) => skill).join(", "),
    ]);
  });
  const sections = [...registry.types.values()].map((type) =>
    sectionOf(
      type,
      users.find(({ eventType }) => eventType === type.eventType),
    ),
  );
  return [
    "# Events",
    "",
    "Written by `holdfast contracts docs`. Do not edit it: change the contracts, and have it written again.",
    "",
    ...table(["event type", "versions", "emitted by", "handled by"], index),
    ...sections,
    "",
  ].join("\n");
}

function anchorOf(eventType: string): string {
  return eventType.toLowerCase().replaceAll(/[^\p{L}\p{N}_-]/gu, "");
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|").replaceAll(/\s*\n\s*/g, " ") || "–").join(" | ")} |`;
}

function table(head: readonly string[], rows: readonly string[]): readonly string[] {
  return rows.length === 0 ? [] : [row(head), `|${"---|".repeat(head.length)}`, ...rows];
}

function sectionOf(type: ContractType, users: EventUsers | undefined): string {
  const newest = newestOf(type);
  const description = newest === undefined ? [] : [newest.jsonSchema["title"], newest.jsonSchema["description"]].filter((text) => typeof text === "string");
  const handled = users?.handledBy.map(({ skill, versions }) => `\`${skill}\` (${versions.join(", ")})`).join(", ") ?? "";
  const emitted = users?.emittedBy.map(({ skill, version }) => `\`${skill}\` (${version})`).join(", ") ?? "";
  return [
    "",
    `## ${type.eventType}`,
    ...description.flatMap((text) => ["", text]),
    "",
    `Emitted by ${emitted || "nobody who says so"}; handled by ${handled || "nobody here"}.`,
    ...type.versions.toReversed().map((version) => versionSection(type, version)),
  ].join("\n");
}

function versionSection(type: ContractType, version: ContractVersion): string {
  const rows = fieldsOf(version).map(({ path, type: what, isRequired, description }) => row([`\`${path}\``, what, isRequired ? "yes" : "", description]));
  const example = type.examples.find((one) => one.version === version.version);
  const before = type.versions[type.versions.indexOf(version) - 1];
  const changes =
    before === undefined
      ? []
      : compareSchemas(before.jsonSchema, version.jsonSchema).map(({ path, message }) => `- ${path === "" ? "" : `\`${path}\` `}${message}`);
  return [
    "",
    `### ${type.eventType} ${version.version}`,
    "",
    ...table(["field", "type", "required", "what it is"], rows),
    ...(before === undefined || changes.length === 0 ? [] : ["", `Since ${before.version}:`, "", ...changes]),
    ...(example === undefined ? [] : ["", "```json", JSON.stringify(example.payload, undefined, 2), "```"]),
  ].join("\n");
}

interface DescribedField {
  readonly path: string;
  readonly type: string;
  readonly isRequired: boolean;
  readonly description: string;
}

function fieldsOf({ jsonSchema }: ContractVersion): readonly DescribedField[] {
  const fields: DescribedField[] = [];
  const walk = (schema: unknown, path: string, depth: number): void => {
    const view = viewOf(jsonSchema, schema);
    const required = new Set(listOf(view["required"]).map(String));
    for (const [name, field] of Object.entries(recordOf(view["properties"]))) {
      const inner = viewOf(jsonSchema, field);
      const place = path === "" ? name : `${path}.${name}`;
      fields.push({ path: place, type: typeText(inner), isRequired: required.has(name), description: textOfField(inner) });
      if (depth < depthMax) walk(field, place, depth + 1);
    }
    if (view["items"] !== undefined && !Array.isArray(view["items"]) && depth < depthMax) walk(view["items"], `${path}[]`, depth + 1);
  };
  walk(jsonSchema, "", 0);
  return fields;
}

function textOfField(view: Node): string {
  const description = view["description"] ?? view["title"];
  return [view["deprecated"] === true ? "**deprecated**" : "", typeof description === "string" ? description : ""].filter(Boolean).join(" ");
}

function typeText(view: Node): string {
  const { type, format } = view;
  const values = view["enum"];
  if (Array.isArray(values)) return values.map((value) => `\`${JSON.stringify(value)}\``).join(" or ");
  const alternatives = listOf(view["oneOf"] ?? view["anyOf"]);
  if (alternatives.length > 0) return `one of ${alternatives.length} alternatives`;
  const named = Array.isArray(type) ? type.join(" or ") : typeof type === "string" ? type : "anything";
  return typeof format === "string" ? `${named} (${format})` : named;
}
