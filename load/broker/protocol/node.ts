// A node that answers requests: one link brings them, another takes the replies.
import { ProtocolError } from "#runtime/amqp/codec/errors.ts";
import { int, symbol } from "#runtime/amqp/codec/types.ts";
import { encodeReply, parseRequest, type Request } from "../codec/request.ts";
import { accepted, type Answer, type ReceivingHandler, rejected, type SendingHandler, type SendingLink } from "./wire.ts";

/** Replies that wait for a client's credit at most; a client that takes none loses the link. */
const waitingMax = 1000;

const nothing = Buffer.alloc(0);

interface ReplyLink {
  readonly link: SendingLink;
  readonly address: string | undefined;
  readonly waiting: Buffer[];
  credit: number;
  sent: number;
}

/** When a reply goes out: at once, never, or when what it is given to calls it. */
export type Postponement = undefined | "never" | ((send: () => void) => void);

export class Node {
  readonly #answer: (request: Request) => Buffer;
  readonly #postpone: (request: Request) => Postponement;
  readonly #links = new Set<ReplyLink>();

  /**
   * @param answer makes the encoded reply to a request
   * @param postpone asked for each request; default: every reply goes out at once
   */
  constructor(answer: (request: Request) => Buffer, postpone: (request: Request) => Postponement = () => undefined) {
    this.#answer = answer;
    this.#postpone = postpone;
  }

  requests(): ReceivingHandler {
    return {
      onMessage: (bytes): Answer => this.#onRequest(bytes),
      onClosed: (): void => undefined,
    };
  }

  replies(link: SendingLink, address: string | undefined): SendingHandler {
    const reply: ReplyLink = { link, address, waiting: [], credit: 0, sent: 0 };
    this.#links.add(reply);
    return {
      onCredit: (credit): void => {
        reply.credit = credit;
        flush(reply);
      },
      onOutcome: (): Answer => accepted,
      onClosed: (): void => {
        this.#links.delete(reply);
      },
    };
  }

  #onRequest(bytes: Buffer): Answer {
    let request: Request;
    try {
      request = parseRequest(Buffer.from(bytes));
    } catch (error) {
      if (error instanceof ProtocolError) return rejected("amqp:decode-error", error.message);
      throw error;
    }
    const link = this.#linkFor(request.replyTo);
    if (link === undefined) return rejected("amqp:not-found", `There is no link to reply on for '${request.replyTo ?? ""}'.`);
    // Some clients expect their request to be settled before the reply comes.
    process.nextTick(() => {
      const { bytes, postponement } = this.#serve(request);
      if (postponement === undefined) this.#reply(link, bytes);
      else if (postponement !== "never") postponement(() => this.#reply(link, bytes));
    });
    return accepted;
  }

  /** What is broken inside a request is found where it is read, and is its sender's to hear of. */
  #serve(request: Request): { readonly bytes: Buffer; readonly postponement: Postponement } {
    try {
      return { bytes: this.#answer(request), postponement: this.#postpone(request) };
    } catch (error) {
      const isBroken = error instanceof ProtocolError;
      const code = int(isBroken ? 400 : 500);
      const description = error instanceof Error ? error.message : String(error);
      const condition = symbol(isBroken ? "amqp:decode-error" : "amqp:internal-error");
      // `$cbs` and `$management` spell them differently.
      const status = { statusCode: code, statusDescription: description, errorCondition: condition, "status-code": code, "status-description": description };
      return { bytes: encodeReply(request, status, null), postponement: undefined };
    }
  }

  #reply(link: ReplyLink, bytes: Buffer): void {
    if (!this.#links.has(link)) return;
    link.waiting.push(bytes);
    flush(link);
    if (link.waiting.length > waitingMax)
      link.link.close({ condition: "amqp:resource-limit-exceeded", description: `More than ${waitingMax} replies are waiting for credit.` });
  }

  /** Where a reply goes: by the link's address, then by its name, then the only link there is. */
  #linkFor(replyTo: string | undefined): ReplyLink | undefined {
    const links = [...this.#links];
    const byAddress = links.find(({ address }) => replyTo !== undefined && address === replyTo);
    const byName = links.find(({ link }) => link.name === replyTo);
    return byAddress ?? byName ?? (links.length === 1 ? links[0] : undefined);
  }
}

function flush(reply: ReplyLink): void {
  while (reply.credit > 0) {
    const bytes = reply.waiting.shift();
    if (bytes === undefined) return;
    reply.credit--;
    const tag = Buffer.allocUnsafe(4);
    tag.writeUInt32BE(reply.sent++ >>> 0);
    reply.link.send(tag, [bytes, nothing], undefined);
  }
}
