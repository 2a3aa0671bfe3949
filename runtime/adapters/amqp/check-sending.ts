/** Whether messages could be sent to an entity: a link to it is attached, and closed again. */
import type { Clock } from "../../core/clock.ts";
import { TransportError } from "../../core/errors.ts";
import type { SendingCheck } from "../../ports/broker-facts.ts";
import { BrokerConnection, type ConnectionUser, type OpenConnection } from "./broker-connection.ts";
import { errorOf, transportErrorOf } from "./errors.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";
import { answeredWithin } from "../support/waiting.ts";
import { type NamespaceOptions, parseNamespace } from "./namespace.ts";

export type CheckOptions = NamespaceOptions & {
  readonly clock: Clock;
  /** How long to wait for the connection, for access, and for the link, each; 10 000 by default. */
  readonly answerTimeoutMs?: number;
};

export async function checkCanSend({ clock, answerTimeoutMs = answerTimeoutDefaultMs, ...options }: CheckOptions, entity: string): Promise<SendingCheck> {
  const broker = new BrokerConnection({ namespace: parseNamespace(options), clock, answerTimeoutMs });
  const { promise, resolve } = Promise.withResolvers<SendingCheck>();
  broker.join(new Check(entity, clock, answerTimeoutMs, resolve));
  broker.want();
  try {
    return await promise;
  } finally {
    await broker.stop();
  }
}

class Check implements ConnectionUser {
  readonly #entity: string;
  readonly #clock: Clock;
  readonly #answerTimeoutMs: number;
  readonly #answer: (check: SendingCheck) => void;

  constructor(entity: string, clock: Clock, answerTimeoutMs: number, answer: (check: SendingCheck) => void) {
    this.#entity = entity;
    this.#clock = clock;
    this.#answerTimeoutMs = answerTimeoutMs;
    this.#answer = answer;
  }

  wantsConnection(): boolean {
    return false;
  }

  opened(connection: OpenConnection): void {
    void this.#attach(connection);
  }

  closed(error: TransportError): void {
    this.#failed(error);
  }

  async #attach(connection: OpenConnection): Promise<void> {
    const address = this.#entity;
    const expected = `'${address}' to exist and to take messages`;
    try {
      await connection.authorize(address);
      const { promise: attached, resolve, reject } = Promise.withResolvers<void>();
      connection.engine.begin({}).openSender(
        { name: `check-${address}-${process.pid}`, target: { address }, source: {}, senderSettleMode: "unsettled" },
        {
          onAttach: () => resolve(),
          onDetach: (_sender, { error }) => reject(errorOf(expected, error, "that the link was detached")),
        },
      );
      const late = (): TransportError =>
        new TransportError(`expected ${expected}, found no answer within ${this.#answerTimeoutMs} ms; check that the broker is up and reachable`);
      await answeredWithin(this.#clock, this.#answerTimeoutMs, attached, late);
      this.#answer({ kind: "possible" });
    } catch (thrown) {
      this.#failed(transportErrorOf(expected, thrown));
    }
  }

  #failed(error: TransportError): void {
    this.#answer({ kind: error.entityTrouble === undefined ? "unanswered" : "refused", error });
  }
}
