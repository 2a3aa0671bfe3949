// Faults that end a link or its connection.
import type { Faults } from "./faults.ts";
import { detachForced } from "./refusals.ts";
import type { WireConnection, WireError } from "./wire.ts";

/** Ends a link or its connection when a fault says so; tells whether it did. */
export function severLink(
  path: string,
  {
    link,
    role,
    connection,
  }: { readonly link: { readonly name: string; close(error: WireError): void }; readonly role: "sender" | "receiver"; readonly connection: WireConnection },
  faults: Faults,
): boolean {
  if (faults.strike("drop", path) !== undefined) {
    connection.cut();
    return true;
  }
  if (faults.strike("detach", path) === undefined) return false;
  link.close(detachForced(link.name, role));
  return true;
}
