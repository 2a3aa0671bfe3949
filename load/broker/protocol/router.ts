// Decides what a link is: the `$cbs` node, an entity's `$management` node, a sender to an entity, or a receiver from one.
import { type Namespace, pathOf, type Resolution } from "../entities/namespace.ts";
import { allRights } from "../security/keys.ts";
import { answerTokenRequest } from "./cbs.ts";
import type { ProtocolContext } from "./context.ts";
import { receiveFrom, receiveSession } from "./entity-receiver.ts";
import { sendTo } from "./entity-sender.ts";
import { answerManagement, postponeSettlement } from "./management.ts";
import { Node } from "./node.ts";
import { entityDisabled, entityNotFound, noSessions, receiverForwarded, serverBusy } from "./refusals.ts";
import { attachSession, sessionFilter } from "./session-attach.ts";
import type { OpenLink, OpenLinks } from "./open-links.ts";
import type { Attach, AttachDecision, WireConnection, WireError, WireServer } from "./wire.ts";

const cbsAddress = "$cbs";
/** Bytes of a request to a node at most: a schedule request carries whole messages. */
const requestBytesMax = 4 * 1024 * 1024;
const requestCredit = 100;
/** Transfers that a sender may have under way. */
const senderCredit = 1000;

type Found = Exclude<Resolution, { kind: "notFound" }>;

export class Router implements WireServer {
  readonly #namespace: Namespace;
  readonly #context: ProtocolContext;
  /** The nodes that each session talks to, by address. */
  readonly #nodes = new WeakMap<object, Map<string, Node>>();

  constructor(namespace: Namespace, context: ProtocolContext) {
    this.#namespace = namespace;
    this.#context = context;
  }

  login(connection: WireConnection, mechanism: string, response: Buffer | undefined): boolean {
    return this.#context.access.login(connection, mechanism, response);
  }

  attach(role: "sender" | "receiver", attach: Attach): AttachDecision {
    const { address } = attach;
    if (attach.beyond !== undefined) return refuse("amqp:not-implemented", `This broker has no ${attach.beyond}.`);
    if (address === undefined) return refuse("amqp:invalid-field", "The link names no address.");
    if (address.toLowerCase() === cbsAddress)
      return this.#joinNode(role, attach, cbsAddress, () => new Node((request) => answerTokenRequest(attach.connection, request, this.#context)));
    const found = this.#namespace.resolve(address);
    if (found.kind === "notFound") return refused(entityNotFound(pathOf(address)));
    const { faults, access } = this.#context;
    const trouble = this.#context.trouble();
    if (trouble !== undefined)
      return refuse("com.microsoft:server-busy", `The broker cannot write to its data folder and takes nothing until it can: ${trouble}`);
    const path = found.kind === "topic" ? found.topic.path : found.queue.path;
    // Each request to a node needs rights of its own.
    const unauthorized = found.management ? access.refuseManaging(attach.connection, path, allRights) : access.refuseLink(attach.connection, path, role);
    if (unauthorized !== undefined) return refused(unauthorized);
    if (!found.management && faults.any && faults.strike("throttle", path) !== undefined) return refused(serverBusy);
    if (found.management) {
      return this.#joinNode(
        role,
        attach,
        address.toLowerCase(),
        () =>
          new Node(
            (request) => answerManagement(found, request, this.#context, attach.connection),
            (request) => postponeSettlement(path, request, faults),
          ),
      );
    }
    return role === "sender" ? this.#sender(found, attach, address) : this.#receiver(found, attach, address);
  }

  closed(connection: WireConnection): void {
    this.#context.access.closed(connection);
  }

  tell(error: WireError, { host }: WireConnection, address: string | undefined): WireError {
    return this.#context.tracking.tell(error, { host, path: pathOf(address ?? "") });
  }

  #sender(found: Found, attach: Attach, address: string): AttachDecision {
    const destination = found.kind === "topic" ? found.topic : found.queue;
    if (found.kind === "queue" && !found.sendable) return refuse("amqp:not-allowed", `Messages cannot be sent to '${address}'; send to its queue or topic.`);
    const { messageBytesMax, status } = destination.settings;
    if (status === "Disabled" || status === "SendDisabled") return refused(entityDisabled(destination.path));
    return {
      kind: "receive",
      messageBytesMax,
      credit: senderCredit,
      start: (link) => this.#open("sender", destination.path, attach, link, sendTo(destination, link, attach.connection, this.#context)),
    };
  }

  #receiver(found: Found, attach: Attach, address: string): AttachDecision {
    if (found.kind === "topic")
      return refuse("amqp:not-allowed", `Messages cannot be received from the topic '${address}'; receive from one of its subscriptions.`);
    const { queue } = found;
    const { status } = queue.settings;
    if (status === "Disabled" || status === "ReceiveDisabled") return refused(entityDisabled(queue.path));
    // The broker itself empties it: whoever received here would wait for nothing, and the real service says so at once.
    if (queue.settings.forwardTo !== undefined) return refused(receiverForwarded);
    const { receiversMax } = this.#namespace.bounds;
    if (receiversMax !== Infinity && countReceivers(this.#context.links, queue.path) >= receiversMax) {
      return refuse("amqp:resource-limit-exceeded", `'${queue.path}' takes at most ${receiversMax} receivers at one time.`);
    }
    const { sessions } = queue;
    if (sessions !== undefined) {
      return attachSession(queue.path, sessions, attach, (of, lock, link) =>
        this.#open("receiver", queue.path, attach, link, receiveSession(queue, of, lock, attach, link, this.#context)),
      );
    }
    if (attach.filters.has(sessionFilter)) return refused(noSessions);
    return { kind: "send", start: (link) => this.#open("receiver", queue.path, attach, link, receiveFrom(queue, attach, link, this.#context)) };
  }

  /** Notes a link as open until it closes. */
  #open<H extends { onClosed(): void }>(role: OpenLink["role"], path: string, attach: Attach, link: Pick<OpenLink, "name" | "close">, handler: H): H {
    const { links } = this.#context;
    const open: OpenLink = { name: attach.name, path, role, connection: attach.connection, close: (error) => link.close(error) };
    links.add(open);
    const onClosed = (): void => {
      links.remove(open);
      handler.onClosed();
    };
    return { ...handler, onClosed };
  }

  #joinNode(role: "sender" | "receiver", attach: Attach, key: string, create: () => Node): AttachDecision {
    let nodes = this.#nodes.get(attach.session);
    if (nodes === undefined) {
      nodes = new Map();
      this.#nodes.set(attach.session, nodes);
    }
    let node = nodes.get(key);
    if (node === undefined) {
      node = create();
      nodes.set(key, node);
    }
    const joined = node;
    if (role === "sender") return { kind: "receive", messageBytesMax: requestBytesMax, credit: requestCredit, start: () => joined.requests() };
    return { kind: "send", start: (link) => joined.replies(link, attach.peerAddress) };
  }
}

function countReceivers(links: OpenLinks, path: string): number {
  let count = 0;
  for (const link of links) if (link.role === "receiver" && link.path === path) count++;
  return count;
}

function refuse(condition: string, description: string): AttachDecision {
  return { kind: "refuse", error: { condition, description } };
}

function refused(error: WireError): AttachDecision {
  return { kind: "refuse", error };
}
