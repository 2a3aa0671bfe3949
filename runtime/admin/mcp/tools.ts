/**
 * What agents are given: a tool for each operation of the API, named and described as openapi.json has it, whose arguments are the
 * operation's parameters and the members of its body. The API itself checks them, and who may.
 */
import { documentText } from "../document.ts";

type Schema = Readonly<Record<string, unknown>>;

export interface Tool {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: { readonly type: "object"; readonly properties: Readonly<Record<string, object>>; readonly required: string[] };
  readonly annotations: { readonly title: string; readonly readOnlyHint: boolean; readonly destructiveHint: boolean; readonly openWorldHint: false };
}

export interface ApiTool extends Tool {
  readonly method: string;
  /** `/runs/{eventId}`. */
  readonly path: string;
  /** Names of the arguments that go into the query; those of the path are named by it, all others go into the body. */
  readonly query: ReadonlySet<string>;
  readonly hasBody: boolean;
}

/** What a caller has read, for a change that must not undo what he has not seen. */
export const stateArgument = "ifMatch";

interface Described {
  readonly operationId: string;
  readonly summary: string;
  readonly "x-role": string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: Schema } } };
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

export function apiTools(text: string = documentText): readonly ApiTool[] {
  const document = JSON.parse(text) as Document;
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => toolOf(document, path, method.toUpperCase(), described)),
  );
}

function toolOf(document: Document, path: string, method: string, described: Described): ApiTool {
  const { operationId: name, summary, parameters = [], requestBody } = described;
  const body = requestBody === undefined ? undefined : whole(document, requestBody.content["application/json"].schema);
  const isRead = method === "GET";
  const properties: Record<string, object> = { ...(body?.["properties"] as Record<string, object> | undefined) };
  const required = [...((body?.["required"] as string[] | undefined) ?? [])];
  for (const parameter of parameters) {
    const argument = parameter.in === "header" ? stateArgument : parameter.name;
    const description = parameter.in === "header" ? `The '${stateArgument}' that reading this setting gave.` : parameter.description;
    properties[argument] = { ...whole(document, parameter.schema), ...(description === undefined ? {} : { description }) };
    if (parameter.required === true) required.push(argument);
  }
  return {
    name,
    description: `${summary}. Needs the role ${described["x-role"]}${isRead ? "" : "; is audited, with its reason"}.`,
    inputSchema: { type: "object", properties, required },
    annotations: { title: summary, readOnlyHint: isRead, destructiveHint: !isRead, openWorldHint: false },
    method,
    path,
    query: new Set(parameters.filter((parameter) => parameter.in === "query").map((parameter) => parameter.name)),
    hasBody: body !== undefined,
  };
}

/** With what its references name in their places: agents get each schema by itself. */
function whole(document: object, value: Schema): Schema {
  return JSON.parse(JSON.stringify(value), (_name, part: unknown) => {
    const reference = typeof part === "object" && part !== null && "$ref" in part ? part.$ref : undefined;
    return typeof reference === "string" ? whole(document, at(document, reference)) : part;
  }) as Schema;
}

function at(document: object, reference: string): Schema {
  const found = reference
    .replace(/^#\//, "")
    .split("/")
    .reduce<unknown>((place, name) => (place as Record<string, unknown> | undefined)?.[name], document);
  if (found === undefined) throw new TypeError(`expected openapi.json to hold ${reference}, which it names`);
  return found as Schema;
}
