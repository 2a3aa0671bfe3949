// The `error` composite (part 2, 2.8.14): why a link, a session or a connection ended, or a message was rejected.
import { describedValueAt, descriptor, descriptorAt } from "../codec/descriptors.ts";
import { encodeWhole } from "../codec/encode.ts";
import { malformed } from "../codec/errors.ts";
import { FieldReader, missing } from "../codec/fields.ts";
import { Raw, symbol, symbolMap } from "../codec/types.ts";
import type { Fields } from "../codec/types.ts";
import { MapView } from "../codec/views.ts";

/** An error as a peer sent it, or as it is sent to one. */
export interface ErrorCondition {
  /** A condition of the specification, such as `amqp:not-found`, or one of the peer's own. */
  readonly condition: string;
  readonly description?: string | undefined;
  /** What came in is a view; what goes out may be plain fields. */
  readonly info?: MapView | Fields | undefined;
}

/** Reads the next field as an error. */
export function readErrorField(fields: FieldReader): ErrorCondition | undefined {
  return fields.span() ? readError(fields.bytes, fields.spanStart, fields.spanEnd) : undefined;
}

function readError(bytes: Buffer, at: number, end: number): ErrorCondition {
  if (descriptorAt(bytes, at, end) !== descriptor.error) throw malformed("expected an error");
  const fields = new FieldReader().open(bytes, describedValueAt(bytes, at, end), end);
  return { condition: fields.text() ?? missing("condition of an error"), description: fields.text(), info: fields.map() };
}

/** Room for the head and the other fields of a frame that tells an error, and for a description that was cut. */
const headBytes = 32;
const descriptionUnitsMin = 100;

/** The error as it fits into a frame of the peer's: with less to explain it where it would be too long. */
export function shortened(error: ErrorCondition | undefined, frameBytesMax: number): ErrorCondition | undefined {
  if (error === undefined || encodeError(error)!.bytes.length + headBytes <= frameBytesMax) return error;
  return { condition: error.condition, description: error.description?.slice(0, descriptionUnitsMin) };
}

/** The error as an encoded value; undefined for none. */
export function encodeError(error: ErrorCondition | undefined): Raw | undefined {
  if (error === undefined) return undefined;
  const info = error.info instanceof MapView ? error.info.raw() : error.info && symbolMap(error.info);
  return new Raw(encodeWhole(descriptor.error, [symbol(error.condition), error.description, info]));
}
