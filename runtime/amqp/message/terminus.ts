// Source and target (part 3, 3.5): the two ends of a link.
import { describedValueAt, descriptor, descriptorAt } from "../codec/descriptors.ts";
import { encodeComposite } from "../codec/encode.ts";
import { FieldReader } from "../codec/fields.ts";
import { Decoder } from "../codec/decode.ts";
import { Raw, symbol, symbolMap, symbols, uint } from "../codec/types.ts";
import type { Encodable, Fields } from "../codec/types.ts";
import { MapView } from "../codec/views.ts";
import type { ValueView } from "../codec/views.ts";

/** What a source and a target have in common, as read from an attach. */
interface Terminus {
  /** The address when it is text, as it nearly always is. */
  readonly address: string | undefined;
  readonly durable: number;
  readonly expiryPolicy: string;
  readonly timeoutS: number;
  readonly dynamic: boolean;
  readonly capabilities: readonly string[];
  /** As it came, to be echoed verbatim. */
  readonly raw: Raw;
}

export interface Source extends Terminus {
  readonly distributionMode: string | undefined;
  readonly filter: MapView | undefined;
  readonly outcomes: readonly string[];
}

export interface Target extends Terminus {
  /** A coordinator is the target of a transaction controller's link (part 4, 4.5.1); it has no address. */
  readonly kind: "target" | "coordinator";
}

/** What a local source says of itself; all of it may be left out. */
export interface SourceFields extends TargetFields {
  readonly distributionMode?: string;
  /** Filters by name; a `MapView` echoes what came in. */
  readonly filter?: Fields | MapView | undefined;
  readonly outcomes?: readonly string[];
}

export interface TargetFields {
  readonly address?: string | undefined;
  /** 0 nothing, 1 the terminus itself, 2 its unsettled deliveries too (part 3, 3.5.5). Default 0. */
  readonly durable?: number;
  /** When the time-out begins: link-detach, session-end, connection-close or never. Default session-end. */
  readonly expiryPolicy?: string;
  /** How long the terminus outlives that, in seconds. Default 0. */
  readonly timeoutS?: number;
  /** Whether the peer is to make up an address. */
  readonly dynamic?: boolean;
  readonly capabilities?: readonly string[];
}

const expiryPolicyDefault = "session-end";

/** Undefined for a null source: the peer refuses the link and will detach it (part 2, 2.6.3). */
export function readSource(view: ValueView | undefined): Source | undefined {
  if (view === undefined || descriptorAt(view.bytes, view.start, view.end) !== descriptor.source) return undefined;
  const fields = fieldsOf(view);
  const common = readCommon(fields);
  const distributionMode = fields.text();
  const filter = fields.map();
  fields.span();
  return { ...common, distributionMode, filter, outcomes: fields.symbols(), capabilities: fields.symbols(), raw: view.raw() };
}

export function readTarget(view: ValueView | undefined): Target | undefined {
  if (view === undefined) return undefined;
  const code = descriptorAt(view.bytes, view.start, view.end);
  if (code === descriptor.target) {
    const fields = fieldsOf(view);
    return { kind: "target", ...readCommon(fields), capabilities: fields.symbols(), raw: view.raw() };
  }
  if (code !== descriptor.coordinator) return undefined;
  const none = { address: undefined, durable: 0, expiryPolicy: expiryPolicyDefault, timeoutS: 0, dynamic: false };
  return { kind: "coordinator", ...none, capabilities: fieldsOf(view).symbols(), raw: view.raw() };
}

function fieldsOf(view: ValueView): FieldReader {
  return new FieldReader().open(view.bytes, describedValueAt(view.bytes, view.start, view.end), view.end);
}

function readCommon(fields: FieldReader): Omit<Terminus, "capabilities" | "raw"> {
  const address = fields.span() ? new Decoder(fields.bytes, fields.spanStart, fields.spanEnd).plain() : undefined;
  const common = {
    address: typeof address === "string" ? address : undefined,
    durable: fields.uint(0),
    expiryPolicy: fields.text() ?? expiryPolicyDefault,
    timeoutS: fields.uint(0),
    dynamic: fields.boolean(false),
  };
  fields.span();
  return common;
}

export function encodeSource(source: SourceFields | Raw): Raw {
  if (source instanceof Raw) return source;
  const filter = source.filter instanceof MapView ? source.filter.raw() : source.filter && symbolMap(source.filter);
  return new Raw(
    encodeComposite(descriptor.source, [
      ...encodeCommon(source),
      source.distributionMode === undefined ? undefined : symbol(source.distributionMode),
      filter,
      undefined,
      multiple(source.outcomes),
      multiple(source.capabilities),
    ]),
  );
}

export function encodeTarget(target: TargetFields | Raw): Raw {
  if (target instanceof Raw) return target;
  return new Raw(encodeComposite(descriptor.target, [...encodeCommon(target), multiple(target.capabilities)]));
}

function encodeCommon(fields: TargetFields): Encodable[] {
  return [
    fields.address,
    fields.durable === undefined ? undefined : uint(fields.durable),
    fields.expiryPolicy === undefined ? undefined : symbol(fields.expiryPolicy),
    fields.timeoutS === undefined ? undefined : uint(fields.timeoutS),
    fields.dynamic,
    undefined,
  ];
}

/** A field that the specification marks `multiple`. */
export function multiple(names: readonly string[] | undefined): Encodable {
  return names === undefined || names.length === 0 ? undefined : symbols(names);
}
