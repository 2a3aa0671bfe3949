// Who may use the control endpoint: whoever shows a token of a key with all rights, where keys are configured. Where none are,
// whoever is on this machine; but not a page that a browser has from elsewhere, which could reach this port, too.
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { TokenVerifier } from "../security/tokens.ts";

export interface Refusal {
  readonly status: number;
  readonly error: string;
}

/** Told to everybody: whether it is well, and the certificate that clients are to trust. */
const open: ReadonlySet<string> = new Set(["/health", "/certificate"]);

/** @param path without a slash at its end */
export function refuseControl(verifier: TokenVerifier, request: IncomingMessage, path: string): Refusal | undefined {
  if (open.has(path)) return undefined;
  const { authorization, host = "localhost", origin } = request.headers;
  if (!verifier.isRequired) {
    if (origin === undefined && isLocalName(host)) return undefined;
    return {
      status: 403,
      error: `expected a request from this machine's own programs, found one ${origin === undefined ? `for ${host}` : `from the page ${origin}`}; call http://127.0.0.1 from outside a browser`,
    };
  }
  if (authorization === undefined)
    return {
      status: 401,
      error:
        "expected a token of a key with Manage rights, found none; give the command --connection-string or HOLDFAST_BROKER, or a request the header Authorization: SharedAccessSignature …",
    };
  const verdict = verifier.verify(authorization, `http://${host}/`);
  if (!verdict.ok) return { status: 401, error: verdict.reason };
  if (verdict.grant.rights.has("Manage") && verdict.grant.place === "") return undefined;
  return { status: 401, error: "expected a key with Manage rights for the whole namespace, found one with fewer" };
}

/** A name that another site could give to this address is none of these. */
function isLocalName(host: string): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return name === "localhost" || name.endsWith(".localhost") || isIP(name) !== 0;
}
