/** Whether messages could be sent to an entity: a link to it is attached, and closed again. */
import type { Clock } from "../../core/clock.ts";
import type { TransportError } from "../../core/errors.ts";
import type { SendingCheck } from "../../ports/broker-facts.ts";
import { BrokerConnection, type ConnectionUser, type OpenConnection } from "./broker-connection.ts";
import { errorOf, transportErrorOf } from "./errors.ts";
import { answerTimeoutDefaultMs } from "./limits.ts";
import { type NamespaceOptions, parseNamespace } from "./namespace.ts";

export async function checkCanSend({ clock, ...options }: NamespaceOptions & { readonly clock: Clock }, entity: string): Promise<SendingCheck> {
  const broker = new BrokerConnection({ namespace: parseNamespace(options), clock, answerTimeoutMs: answerTimeoutDefaultMs });
  const { promise, resolve } = Promise.withResolvers<SendingCheck>();
  broker.join(new Check(entity, resolve));
  broker.want();
  try {
    return await promise;
  } finally {
    await broker.stop();
  }
}

class Check implements ConnectionUser {
  readonly #entity: string;
  readonly #answer: (check: SendingCheck) => void;

  constructor(entity: string, answer: (check: SendingCheck) => void) {
    this.#entity = entity;
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
      connection.engine.begin({}).openSender(
        { name: `check-${address}-${process.pid}`, target: { address }, source: {}, senderSettleMode: "unsettled" },
        {
          onAttach: () => this.#answer({ kind: "possible" }),
          onDetach: (_sender, { error }) => this.#failed(errorOf(expected, error, "that the link was detached")),
        },
      );
    } catch (thrown) {
      this.#failed(transportErrorOf(expected, thrown));
    }
  }

  #failed(error: TransportError): void {
    this.#answer({ kind: error.entityTrouble === undefined ? "unanswered" : "refused", error });
  }
}
