// Values that stay as they were encoded: whoever gets them next has the sender's own types.
import { decode } from "#runtime/amqp/codec/decode.ts";
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import type { Plain } from "#runtime/amqp/codec/types.ts";
import type { MapView, ValueView } from "#runtime/amqp/codec/views.ts";

/** Calls `visit` for each entry of a map whose key is text, as it is in every map that a link, an outcome or a request carries. */
export function forEachNamed(map: MapView | undefined, visit: (name: string, value: ValueView) => void): void {
  map?.forEach((name, value) => {
    if (typeof name === "string") visit(name, value);
  });
}

/** The entries of a map, each encoded and copied: they may be kept for as long as a message is. */
export function encodedEntries(map: MapView): Map<string, Buffer> {
  const entries = new Map<string, Buffer>();
  forEachNamed(map, (name, { bytes, start, end }) => entries.set(name, Buffer.from(bytes.subarray(start, end))));
  return entries;
}

/** An encoded value; null when it is broken inside. */
export function decodedOrNull(encoded: Buffer): Plain {
  try {
    return decode(encoded);
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/** A number with a fraction part, even where that is 0: what is computed with it is no whole number either. */
export class Double {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

const doubleCode = 0x82;
const floatCode = 0x72;

/** The same, with doubles and floats told from whole numbers. */
export function numericOrNull(encoded: Buffer): Plain | Double {
  const value = decodedOrNull(encoded);
  return typeof value === "number" && (encoded[0] === doubleCode || encoded[0] === floatCode) ? new Double(value) : value;
}
