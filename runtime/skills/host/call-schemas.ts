// Holds what a dependency is asked, and what it answers, against what its definition says they are.
import type { CallSchemas, HttpRequest, HttpResponse, RequestFunction } from "../author/define-dependency.ts";
import { PermanentError } from "../author/errors.ts";
import type { PayloadSchema } from "../author/schema.ts";
import { type Checked, type CheckValue, compileSchema } from "./schema-check.ts";

type AnyRequest = RequestFunction<unknown, unknown>;

const issuesShownMax = 3;
const textMax = 200;

function wrong(what: string, { issues }: Extract<Checked, { readonly ok: false }>): string {
  const shown = issues.slice(0, issuesShownMax).map(({ path, message }) => `${[what, ...path].join("/").slice(0, textMax)}: ${message.slice(0, textMax)}`);
  return `${shown.join("; ")}${issues.length > issuesShownMax ? `; and ${issues.length - issuesShownMax} more` : ""}`;
}

async function compiled(owner: string, schema: PayloadSchema<unknown> | undefined): Promise<CheckValue | undefined> {
  return schema === undefined ? undefined : compileSchema(owner, schema);
}

/** Checks what stands at `body`, where the schemas are of bodies; one that `mayLack` it has nothing to check then. */
async function checkPart(
  check: CheckValue | undefined,
  isBody: boolean,
  value: unknown,
  mayLack: boolean,
): Promise<{ readonly ok: true; readonly value: unknown } | Extract<Checked, { ok: false }>> {
  if (check === undefined) return { ok: true, value };
  if (!isBody) return check(value);
  const { body } = value as { readonly body?: unknown };
  if (body === undefined && mayLack) return { ok: true, value };
  const checked = await check(body);
  return checked.ok ? { ok: true, value: { ...(value as object), body: checked.value } } : checked;
}

/** Whether HTTP lets an answer have none. */
function hasNoBody({ method }: Pick<HttpRequest, "method">, { status }: Pick<HttpResponse, "status">): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** The same request function, which refuses requests and answers that are not what the schemas say. */
export async function withSchemas(name: string, { request, response, of }: CallSchemas, ask: AnyRequest): Promise<AnyRequest> {
  const owner = `dependency '${name}'.schemas`;
  const checks = { request: await compiled(`${owner}.request`, request), response: await compiled(`${owner}.response`, response) };
  const isBody = of === "bodies";
  return async (asked, info) => {
    const sent = await checkPart(checks.request, isBody, asked, true);
    if (!sent.ok) {
      const message = `${name}: expected a request as its schema has it, got another: ${wrong(isBody ? "body" : "request", sent)}; nothing was sent`;
      throw new PermanentError(message, { code: "REQUEST_INVALID", dependency: name, definite: true });
    }
    const answer = await ask(sent.value, info);
    const answered = await checkPart(checks.response, isBody, answer, isBody && hasNoBody(asked as HttpRequest, answer as HttpResponse));
    if (answered.ok) return answered.value;
    const message = `${name}: expected an answer as its schema has it, got another: ${wrong(isBody ? "body" : "response", answered)}`;
    throw new PermanentError(message, { code: "RESPONSE_INVALID", dependency: name, definite: false });
  };
}
