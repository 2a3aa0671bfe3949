/** The workload's own identity, by which it logs in where it has no key: one for the process, which keeps its tokens. */
import type { TokenCredential } from "@azure/identity";

let identity: Promise<TokenCredential> | undefined;

/** Its library is loaded when it is first asked for. */
export function ownIdentity(): Promise<TokenCredential> {
  identity ??= import("@azure/identity").then(({ DefaultAzureCredential }) => new DefaultAzureCredential());
  return identity;
}
