// Faults that end a link or its connection.
import type { Faults } from "./faults.ts";
import type { WireConnection, WireError } from "./wire.ts";

export const detachForced: WireError = { condition: "amqp:link:detach-forced", description: "The link is detached by the broker for maintenance. Attach again." };

/** Ends a link or its connection when a fault says so; tells whether it did. */
export function severLink(path: string, link: { close(error: WireError): void }, connection: WireConnection, faults: Faults): boolean {
  if (faults.strike("drop", path) !== undefined) {
    connection.cut();
    return true;
  }
  if (faults.strike("detach", path) === undefined) return false;
  link.close(detachForced);
  return true;
}
