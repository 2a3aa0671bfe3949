// A client of the engine on a local broker, for what the SDK hides: how links are answered, and the exact types of what is sent.
import { strict as assert } from "node:assert";
import { connect as connectTcp, type Socket } from "node:net";
import type { TestContext } from "node:test";
import type { Broker } from "#load/broker/broker.ts";
import { type Connection, openClient } from "#runtime/amqp/connection/connection.ts";
import type { ConnectionEnd } from "#runtime/amqp/connection/connection-options.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import type { Limits } from "#runtime/amqp/codec/limits.ts";
import type { LinkEnd } from "#runtime/amqp/link/link.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { MessageView } from "#runtime/amqp/message/message.ts";
import type { Attach } from "#runtime/amqp/frame/performatives.ts";
import type { Receiver } from "#runtime/amqp/link/receiver.ts";
import type { SaslCredentials } from "#runtime/amqp/security/sasl.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import type { Encodable, Fields, Plain } from "#runtime/amqp/codec/types.ts";
import { attachedReceiver, attachedSender, Signal } from "../amqp/support/loopback.ts";

export interface WireClient {
  readonly socket: Socket;
  readonly connection: Connection;
  readonly closed: Signal<ConnectionEnd>;
}

export async function connectWire(
  t: TestContext,
  { host, port }: Broker,
  limits: Partial<Limits> = {},
  sasl: SaslCredentials = { mechanism: "ANONYMOUS" },
): Promise<WireClient> {
  const opened = new Signal<Connection>("the connection to open");
  const closed = new Signal<ConnectionEnd>("the connection to be closed");
  const socket = connectTcp({ host, port, noDelay: true });
  const connection = openClient(socket, { containerId: "wire", sasl, limits }, { onOpen: opened.set, onClosed: (_connection, end) => closed.set(end) });
  t.after(() => connection.abort());
  await opened.wait();
  return { socket, connection, closed };
}

/** What became of a wish for a link: the broker's attach, and how the link ended where it was refused. */
export interface Answered {
  readonly remote: Attach | undefined;
  readonly end: LinkEnd | undefined;
}

/** Asks for a receiver and waits for what the broker says. A refused link answers with its end. */
export async function askForReceiver(session: Session, options: Parameters<Session["openReceiver"]>[0]): Promise<Answered> {
  const answered = new Signal<Answered>(`an answer to ${options.name}`);
  session.openReceiver(options, {
    onDelivery: () => assert.fail("expected no delivery without credit"),
    onAttach: (_receiver, remote) => answered.set({ remote, end: undefined }),
    onDetach: (_receiver, end) => answered.set({ remote: undefined, end }),
  });
  return answered.wait();
}

export async function askForSender(session: Session, options: Parameters<Session["openSender"]>[0]): Promise<Answered> {
  const answered = new Signal<Answered>(`an answer to ${options.name}`);
  session.openSender(options, {
    onAttach: (_sender, remote) => answered.set({ remote, end: undefined }),
    onDetach: (_sender, end) => answered.set({ remote: undefined, end }),
  });
  return answered.wait();
}

export interface Reply {
  readonly message: MessageView;
  readonly code: Plain | undefined;
  readonly condition: Plain | undefined;
  readonly body: ReadonlyMap<string, Plain>;
}

/** Requests to one node, such as `$cbs` or `orders/$management`, and its replies. */
export class WireNode {
  readonly #sender: Sender;
  #waiting: Signal<Reply> | undefined;
  readonly replyTo: string;

  private constructor(sender: Sender, replyTo: string) {
    this.#sender = sender;
    this.replyTo = replyTo;
  }

  static async open(session: Session, address: string): Promise<WireNode> {
    const replyTo = `replies of ${address}`;
    const ready = new Signal("credit for requests");
    const sender = await attachedSender(session, { name: `requests to ${address}`, target: { address } }, { onSendable: () => ready.set() });
    const node = new WireNode(sender, replyTo);
    const receiver: Receiver = await attachedReceiver(
      session,
      { name: `replies of ${address}`, source: { address }, target: { address: replyTo } },
      {
        onDelivery: (delivery) => {
          delivery.settle(accepted);
          node.#waiting?.set(replyOf(delivery.message));
        },
      },
    );
    receiver.addCredit(100);
    await ready.wait();
    return node;
  }

  /** One request at a time. */
  ask(operation: string, body: Encodable, extra: { readonly messageId?: Encodable; readonly properties?: Fields } = {}): Promise<Reply> {
    const replied = new Signal<Reply>(`a reply to ${operation}`);
    this.#waiting = replied;
    const bytes = encodeMessage({
      properties: { messageId: extra.messageId ?? "request", replyTo: this.replyTo },
      applicationProperties: { operation, ...extra.properties },
      body: { value: body },
    });
    this.#sender.send(bytes, undefined);
    return replied.wait();
  }
}

function replyOf(message: MessageView): Reply {
  const properties = message.applicationProperties;
  const [first] = message.values();
  const body = first?.plain();
  return {
    message,
    code: properties?.get("statusCode") ?? properties?.get("status-code"),
    condition: properties?.get("errorCondition"),
    body: body instanceof Map ? (body as ReadonlyMap<string, Plain>) : new Map(),
  };
}
