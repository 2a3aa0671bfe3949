import type { MapView, ValueView } from "#runtime/amqp/views.ts";

/** Calls `visit` for each entry of a map whose key is text, as it is in every map that a link or an outcome carries. */
export function forEachNamed(map: MapView | undefined, visit: (name: string, value: ValueView) => void): void {
  map?.forEach((name, value) => {
    if (typeof name === "string") visit(name, value);
  });
}
