/**
 * The dependency of a drill's skills, and the witness of what they did: every call is kept with its step, key and epoch. It honours
 * idempotency keys, and can be asked whether a deed was done.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

export interface EffectCall {
  readonly eventId: string;
  /** Of the skill; a compensation has the name of the step that it takes back. */
  readonly step: string;
  readonly isUndoing: boolean;
  readonly key: string;
  readonly epoch: number;
  /** By this machine's clock. */
  readonly atMs: number;
}

/** So that a run is at work for a while. */
const answersAfterMs = 15;

export class EffectLedger {
  readonly calls: EffectCall[] = [];
  readonly #done = new Set<string>();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#serve(request, response));
    this.#server.keepAliveTimeout = 60_000;
  }

  static async start(): Promise<EffectLedger> {
    const ledger = new EffectLedger();
    ledger.#server.listen(0, "127.0.0.1");
    await once(ledger.#server, "listening");
    return ledger;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** `POST /do` and `POST /undo` act for the step that the headers name; `GET /done/STEP` looks for it. */
  #serve(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const header = (name: string): string => String(request.headers[name] ?? "");
    const eventId = header("holdfast-run");
    const [, what, asked = ""] = (request.url ?? "").split("/");
    const answer = (value: unknown): void => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(value));
    };
    if (what === "done") return answer({ isDone: this.#done.has(`${eventId}/${asked}`) });
    const step = header("holdfast-step");
    const isUndoing = what === "undo";
    this.calls.push({ eventId, step, isUndoing, key: header("idempotency-key"), epoch: Number(header("holdfast-epoch")), atMs: Date.now() });
    if (!isUndoing) this.#done.add(`${eventId}/${step}`);
    setTimeout(() => answer({ ok: true }), answersAfterMs);
  }
}
