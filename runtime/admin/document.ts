/** The OpenAPI document: what is served is what it describes, and what it does not describe is not served. */
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import { type AdminRole, adminRoles } from "../core/config/admin.ts";
import { Problem } from "./problem.ts";

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly schema: object;
}

/** Whether it goes through records of the store or messages of queues: always, or to tell whether an event is a tenant's. */
type LooksThrough = boolean | "for-tenants";

interface Described {
  readonly operationId: string;
  /** Who may at least. */
  readonly "x-role": string;
  /** Who acts for some tenants alone may use it: it shows and does what is theirs, or is about nobody's events. */
  readonly "x-tenants"?: boolean;
  /** It goes through records of the store or messages of queues: how often one caller may ask for that is bounded. */
  readonly "x-looks-through"?: LooksThrough;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: { readonly "application/json": { readonly schema: object } } };
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
}

/** One operation as it is served. */
export interface Route {
  readonly operationId: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH";
  /** With its parameters as fastify writes them. */
  readonly url: string;
  readonly role: AdminRole;
  /** Who acts for some tenants alone may use it. */
  readonly isForTenants: boolean;
  readonly looksThrough: LooksThrough;
  /** Throw `Problem` for what is not as the document says. */
  checkInputs(params: object, query: object): void;
  checkBody(body: unknown): void;
}

const key = "openapi.json";

export const documentText: string = readFileSync(new URL("openapi.json", import.meta.url), "utf8");

export function routesOf(text: string): readonly Route[] {
  const document = JSON.parse(text) as Document;
  // Numbers in a path or a query are texts; those in a body are not.
  const [inputs, bodies] = [true, false].map((coerceTypes) =>
    onceAsked(() => new Ajv2020({ strict: false, coerceTypes }).addSchema({ ...document, $id: key })),
  );
  if (inputs === undefined || bodies === undefined) throw new TypeError("expected two validators");
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]): Route => {
      const { operationId, parameters = [], requestBody } = described;
      const checks = (["path", "query"] as const).map((place) => onceAsked(() => inputs().compile(inputsOf(parameters.filter((one) => one.in === place)))));
      const checkBody = requestBody && onceAsked(() => bodies().compile(withinDocument(requestBody.content["application/json"].schema)));
      return {
        operationId,
        method: method.toUpperCase() as Route["method"],
        url: path.replaceAll(/\{(\w+)\}/g, ":$1"),
        role: adminRoles.find((role) => role === described["x-role"]) ?? "admin",
        isForTenants: described["x-tenants"] === true,
        looksThrough: described["x-looks-through"] ?? false,
        checkInputs: (params, query) => [params, query].forEach((value, index) => check(checks[index], value, index === 0 ? "the path" : "the query")),
        checkBody: (body) => check(checkBody, body, "the body"),
      };
    }),
  );
}

/** All of it takes a quarter of a second, which no start of a worker waits for: who calls first does, for what it calls. */
function onceAsked<Made>(make: () => Made): () => Made {
  let made: { readonly value: Made } | undefined;
  return () => (made ??= { value: make() }).value;
}

function inputsOf(parameters: readonly Parameter[]): object {
  return {
    type: "object",
    additionalProperties: false,
    required: parameters.filter(({ required }) => required === true).map(({ name }) => name),
    properties: Object.fromEntries(parameters.map(({ name, schema }) => [name, withinDocument(schema)])),
  };
}

/** Its references, which start at the document's root. */
function withinDocument(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"$ref":"#/', `"$ref":"${key}#/`)) as object;
}

function check(validator: (() => ValidateFunction) | undefined, value: unknown, what: string): void {
  const validate = validator?.();
  if (validate === undefined || validate(value)) return;
  const [error] = validate.errors ?? [];
  const where = error?.instancePath === "" ? what : `${what} at ${error?.instancePath ?? ""}`;
  const which =
    error?.params === undefined
      ? ""
      : ` (${Object.values(error.params as object)
          .map(String)
          .join(", ")})`;
  throw new Problem("bad-request", `expected ${where} to be as the API describes it, found that it ${error?.message ?? "is not"}${which}`);
}
