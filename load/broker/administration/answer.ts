// Answers one request of the administration API: what is read here, what is changed in change.ts.
import { BadXmlError } from "./atom.ts";
import { deleteEntity, putEntity } from "./change.ts";
import { type AdministrationContext, type Answer, type Call, refuse } from "./call.ts";
import { read } from "./read.ts";

export function answerAdministration(context: AdministrationContext, call: Call): Answer {
  try {
    switch (call.method) {
      case "GET":
        return read(context.namespace, call);
      case "PUT":
        return putEntity(context, call);
      case "DELETE":
        return deleteEntity(context, call);
      default:
        return refuse(405, `The method ${call.method} is not allowed.`);
    }
  } catch (error) {
    if (error instanceof BadXmlError) return refuse(400, `SubCode=40000. Bad Request. ${error.message}`);
    throw error;
  }
}
