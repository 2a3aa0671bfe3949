// A server of the engine with one session, begun by a peer of bare frames, and the frames that such a peer sends in it.
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import { readErrorField } from "#runtime/amqp/message/condition.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { descriptor } from "#runtime/amqp/codec/descriptors.ts";
import { encodeComposite } from "#runtime/amqp/codec/encode.ts";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import { encodeAttach, encodeBegin, encodeOpen, readDetach } from "#runtime/amqp/frame/performatives.ts";
import type { Role } from "#runtime/amqp/frame/performatives.ts";
import type { Delivery, Receiver } from "#runtime/amqp/link/receiver.ts";
import type { OutgoingDelivery, Sender } from "#runtime/amqp/link/sender.ts";
import { listen } from "#runtime/amqp/connection/sockets.ts";
import { Raw, ubyte, uint } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";
import { BarePeer, Signal } from "./loopback.ts";

export const payload: Buffer = encodeMessage({ body: { data: Buffer.from("payload") } });

export interface Scene extends AsyncDisposable {
  readonly peer: BarePeer;
  readonly requests: AttachRequest[];
  readonly receivers: Receiver[];
  readonly senders: Sender<number>[];
  readonly got: Delivery[];
  readonly outcomes: OutgoingDelivery<number>[];
  readonly ends: LinkEnd[];
  readonly closed: Signal<ConnectionEnd>;
}

export interface SceneOptions {
  readonly limits?: Partial<Limits>;
  readonly credit?: number;
  readonly maxMessageSize?: number;
  /** Of the server's end, and its sender's. */
  readonly receiverSettleMode?: "first" | "second";
  readonly onOutcome?: (delivery: OutgoingDelivery<number>) => void;
  /** Leaves attaches unanswered. */
  readonly postpone?: boolean;
}

/** A server with one session, begun by a bare peer on channel 0. */
export async function startScene({ limits, credit = 10, maxMessageSize, receiverSettleMode, onOutcome, postpone = false }: SceneOptions = {}): Promise<Scene> {
  const scene: Omit<Scene, "peer" | typeof Symbol.asyncDispose> = {
    requests: [],
    receivers: [],
    senders: [],
    got: [],
    outcomes: [],
    ends: [],
    closed: new Signal("the server's connection to be over"),
  };
  const onAttach = (request: AttachRequest): void => {
    scene.requests.push(request);
    if (postpone) return;
    const onDetach = (_link: unknown, end: LinkEnd): void => void scene.ends.push(end);
    if (request.attach.role === "receiver") {
      scene.senders.push(
        request.acceptAsSender<number>({ settles: "owner" }, { onDetach, onOutcome: (delivery) => (scene.outcomes.push(delivery), onOutcome?.(delivery)) }),
      );
      return;
    }
    const receiver = request.acceptAsReceiver(
      { maxMessageSize, ...(receiverSettleMode !== undefined && { receiverSettleMode }) },
      { onDetach, onDelivery: (delivery) => scene.got.push(delivery) },
    );
    receiver.addCredit(credit);
    scene.receivers.push(receiver);
  };
  const listener = await listen(
    { containerId: "server", port: 0, closeTimeOutMs: 200, ...(limits !== undefined && { limits }) },
    { onSession: () => ({ onAttach }), onClosed: (_connection, end) => scene.closed.set(end) },
  );
  const peer = new BarePeer(listener.port);
  peer.header();
  peer.frame(encodeOpen({ containerId: "bare", maxFrameSize: 65_536, channelMax: 10 }));
  peer.frame(encodeBegin({ nextOutgoingId: 0, incomingWindow: 1_000, outgoingWindow: 1_000, handleMax: 10 }));
  await peer.next(descriptor.begin);
  return {
    ...scene,
    peer,
    [Symbol.asyncDispose]: async () => {
      await peer[Symbol.asyncDispose]();
      await listener.close();
    },
  };
}

export function attach(peer: BarePeer, role: Role, handle: number, name: string = `link ${handle}`): void {
  peer.frame(
    encodeAttach({
      name,
      handle,
      role,
      senderSettleMode: "mixed",
      receiverSettleMode: "first",
      source: { address: "q" },
      target: { address: "q" },
      initialDeliveryCount: role === "sender" ? 0 : undefined,
    }),
  );
}

export interface TransferFields {
  readonly handle?: number;
  readonly id?: number | undefined;
  readonly more?: boolean;
  readonly settled?: boolean;
  /** 0 first, 1 second. */
  readonly receiverSettleMode?: number;
  readonly resume?: boolean;
  readonly aborted?: boolean;
}

export function transfer(
  peer: BarePeer,
  { handle = 0, id, more, settled, receiverSettleMode, resume, aborted }: TransferFields,
  bytes: Uint8Array = payload,
): void {
  const fields = [
    uint(handle),
    id === undefined ? undefined : uint(id),
    Buffer.from("tag"),
    uint(0),
    settled,
    more,
    receiverSettleMode === undefined ? undefined : ubyte(receiverSettleMode),
    undefined,
    resume,
    aborted,
  ];
  peer.frame(Buffer.concat([encodeComposite(descriptor.transfer, fields), bytes]));
}

export function flow(peer: BarePeer, fields: readonly Encodable[]): void {
  peer.frame(
    encodeComposite(
      descriptor.flow,
      fields.map((field) => (typeof field === "number" ? uint(field) : field)),
    ),
  );
}

export interface GrantOptions {
  readonly drain?: boolean;
  readonly echo?: boolean;
  readonly window?: number;
  readonly count?: number;
  readonly incomingId?: number;
}

/** Grants credit to the server's sender on our handle. */
export function grant(
  peer: BarePeer,
  handle: number,
  credit: number,
  { drain = false, echo = false, window = 1_000, count = 0, incomingId = 0 }: GrantOptions = {},
): void {
  flow(peer, [incomingId, window, 0, 1_000, handle, count, credit, undefined, drain, echo]);
}

export function disposition(
  peer: BarePeer,
  first: number,
  last: number | undefined,
  { role = true, settled = true }: { readonly role?: boolean; readonly settled?: boolean } = {},
): void {
  peer.frame(encodeComposite(descriptor.disposition, [role, uint(first), last === undefined ? undefined : uint(last), settled, new Raw(accepted.bytes)]));
}

export async function ended(peer: BarePeer, code: number): Promise<string | undefined> {
  const seen = await peer.next(code);
  return code === descriptor.detach ? readDetach(seen.fields).error?.condition : readErrorField(seen.fields)?.condition;
}
