// A server that a call did not reach, in words that say what to do: they are what a retry's log line and a dead letter show.
import { messageOf } from "../../core/errors.ts";
import { failureRowOf } from "../../core/failure-class.ts";
import { fieldOf } from "../../core/redact.ts";
import { isError } from "../../core/thrown.ts";
import { TransientError } from "../author/errors.ts";

const foundMax = 300;

function remedyFor(code: string, baseUrlKey: string): string {
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return `check the host in ${baseUrlKey}, and that this machine can resolve names`;
  if (code.startsWith("E") || code.startsWith("UND_")) return `check that it is up and can be reached from here, and ${baseUrlKey}`;
  return `renew its certificate, or name its authority in NODE_EXTRA_CA_CERTS`;
}

/** What undici threw, as the call's own error where no connection came about; anything else as it is. */
export function asUnreachable(name: string, origin: string, thrown: unknown): unknown {
  const code = isError(thrown) ? fieldOf(thrown, "code") : undefined;
  const row = typeof code === "string" ? failureRowOf(code) : undefined;
  if (typeof code !== "string" || row === undefined || row.class !== "unavailable" || (row.source !== "Node" && row.source !== "undici")) return thrown;
  const message = `${name}: expected ${origin} to answer, found ${messageOf(thrown, foundMax)}; ${remedyFor(code, `dependencies.${name}.baseUrl`)}`;
  return new TransientError(message, { code, dependency: name, definite: row.definite, cause: thrown });
}
