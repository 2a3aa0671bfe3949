// Puts a client's wish for a link to the protocol layer, and answers it as that decides: at once or later.
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import type { Source } from "#runtime/amqp/message/terminus.ts";
import { describedValueAt, descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import { FieldReader } from "#runtime/amqp/codec/fields.ts";
import { Described, type Encodable, type Fields, long, type Plain, Raw, symbol } from "#runtime/amqp/codec/types.ts";
import type { MapView } from "#runtime/amqp/codec/views.ts";
import { forEachNamed } from "../codec/encoded.ts";
import type { Attach, AttachDecision, AttachDetails, WireConnection, WireServer } from "../protocol/wire.ts";
import { IncomingLink } from "./incoming-link.ts";
import { OutgoingLink } from "./outgoing-link.ts";
import type { Tell } from "./outcomes.ts";

export function answerAttach(server: WireServer, connection: WireConnection, session: Session, request: AttachRequest): void {
  const address = addressOf(request);
  const tell: Tell = (error) => server.tell(error, connection, address);
  answer(connection, request, tell, server.attach(request.attach.role, wishOf(connection, session, request)));
}

/** What a peer wants to read from or write to; undefined when it names nothing. */
export function addressOf({ attach: { role, source, target } }: AttachRequest): string | undefined {
  return role === "receiver" ? source?.address : target?.address;
}

function wishOf(connection: WireConnection, session: Session, request: AttachRequest): Attach {
  const { attach } = request;
  const source = attach.source?.address;
  const target = attach.target?.address;
  const receives = attach.role === "receiver";
  return {
    connection,
    session,
    name: attach.name,
    beyond: attach.target?.kind === "coordinator" ? "transactions" : (receives ? attach.source : attach.target)?.dynamic === true ? "dynamic nodes" : undefined,
    address: addressOf(request),
    peerAddress: receives ? target : source,
    presettled: attach.senderSettleMode === "settled",
    filters: textsOf(attach.source?.filter),
    properties: plainOf(attach.properties),
  };
}

function answer(connection: WireConnection, request: AttachRequest, tell: Tell, decision: AttachDecision): void {
  switch (decision.kind) {
    case "refuse":
      request.refuse(tell(decision.error));
      return;
    case "send":
      new OutgoingLink(connection, request, tell, detailsOf(request, decision.details)).open(decision.start);
      return;
    case "receive":
      new IncomingLink(request, tell, decision.messageBytesMax, decision.credit).open(decision.start);
      return;
    case "later":
      request.onAbandoned = decision.start((decided) => {
        if (request.isPending) answer(connection, request, tell, decided);
      });
  }
}

/** What our attach says beyond echoing the peer's. */
function detailsOf({ attach }: AttachRequest, details: AttachDetails | undefined): { readonly source?: Raw; readonly properties?: Fields } {
  const { source } = attach;
  if (details === undefined || source === undefined) return {};
  return { source: withFilters(source, details.filters), properties: Object.fromEntries([...details.properties].map(([name, value]) => [name, long(value)])) };
}

/** Where a source has its filters (part 3, 3.5.3). */
const filterField = 7;

/** The source as it came, whatever is in it, with these filters among its own. */
function withFilters({ raw, filter }: Source, filters: ReadonlyMap<string, string>): Raw {
  const entries = new Map<Encodable, Encodable>();
  filter?.forEach((key, value, at) => {
    if (typeof key !== "string" || !filters.has(key)) entries.set(new Raw(value.bytes.subarray(at, value.start)), value.raw());
  });
  for (const [name, text] of filters) entries.set(symbol(name), text);
  const bytes = Buffer.from(raw.bytes);
  const fields = new FieldReader().open(bytes, describedValueAt(bytes, 0, bytes.length), bytes.length);
  const items: Encodable[] = [];
  while (fields.left > 0) items.push(fields.view()?.raw());
  items[filterField] = entries;
  return new Raw(encodeComposite(descriptor.source, Array.from(items)));
}

/** The filters that are text or null. */
function textsOf(filter: MapView | undefined): Map<string, string | null> {
  const texts = new Map<string, string | null>();
  forEachNamed(filter, (name, value) => {
    const text = undescribed(value.plain());
    if (typeof text === "string" || text === null) texts.set(name, text);
  });
  return texts;
}

function undescribed(value: Plain): Plain {
  return value instanceof Described ? undescribed(value.value) : value;
}

function plainOf(properties: MapView | undefined): Map<string, string | number | boolean> {
  const plain = new Map<string, string | number | boolean>();
  forEachNamed(properties, (name, view) => {
    const value = view.plain();
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") plain.set(name, value);
  });
  return plain;
}
