// Answers one request of the administration API: what is read here, what is changed in change.ts.
import { BadXmlError } from "./atom.ts";
import { deleteEntity, putEntity } from "./change.ts";
import { type AdministrationContext, type Answer, type Call, complete, refuse } from "./call.ts";
import { isGranted } from "../security/keys.ts";
import { read } from "./read.ts";

export function answerAdministration(context: AdministrationContext, call: Call): Answer {
  return complete(context, call, judge(context, call));
}

function judge(context: AdministrationContext, call: Call): Answer {
  const refusal = refuseStranger(context, call);
  if (refusal !== undefined) return refusal;
  try {
    switch (call.method) {
      case "GET":
        return read(context.namespace, call);
      case "PUT":
        return told(context, putEntity(context, call), undefined);
      case "DELETE":
        return told(context, deleteEntity(context, call), call.path);
      default:
        return refuse(405, `The method ${call.method} is not allowed.`);
    }
  } catch (error) {
    if (error instanceof BadXmlError) return refuse(400, `SubCode=40000. Bad Request. ${error.message}`);
    throw error;
  }
}

function told({ onChange }: AdministrationContext, answer: Answer, gone: string | undefined): Answer {
  if (answer.status < 300) onChange(gone);
  return answer;
}

const claims: ReadonlyMap<string, string> = new Map([
  ["GET", "Manage,EntityRead"],
  ["PUT", "Manage,EntityWrite"],
  ["DELETE", "Manage,EntityDelete"],
]);

/** A token that is shown must be good, and where keys are configured one must be shown. */
function refuseStranger({ verifier }: AdministrationContext, { authorization, base, path, method }: Call): Answer | undefined {
  if (authorization === undefined) return verifier.isRequired ? refuse(401, "SubCode=40103. Unauthorized: The Authorization header is missing.") : undefined;
  if (!/^SharedAccessSignature\s/.test(authorization))
    return verifier.isRequired ? refuse(401, "SubCode=40103. Unauthorized: Use a shared access signature.") : undefined;
  const verdict = verifier.verify(authorization, `${base}/${path}`);
  if (!verdict.ok) return refuse(401, `SubCode=40103. Unauthorized: ${verdict.reason}`);
  if (verdict.grant.rights.has("Manage") && isGranted(path.toLowerCase(), verdict.grant)) return undefined;
  return refuse(401, `SubCode=40100. Unauthorized: '${claims.get(method) ?? "Manage"}' claims required for this operation.`);
}
