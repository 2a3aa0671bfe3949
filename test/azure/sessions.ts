// What the design takes for granted of sessions.
import type { Delivery } from "#runtime/core/delivery.ts";
import type { HeldSession } from "#runtime/ports/transport.ts";
import { within } from "../support/eventually.ts";
import type { Assumption } from "./assumptions.ts";
import { patienceMs } from "./scene.ts";

/** Asks for one message after the other. */
class Reader {
  readonly #session: HeldSession;
  #came = Promise.withResolvers<Delivery>();

  constructor(session: HeldSession) {
    this.#session = session;
    session.listen({ delivery: (delivery) => this.#came.resolve(delivery), lost: (error) => this.#came.reject(error) });
  }

  async next(): Promise<Delivery> {
    this.#came = Promise.withResolvers<Delivery>();
    this.#session.receive();
    return within("a message of the session", this.#came.promise, patienceMs);
  }
}

const acceptWithinMs = 10_000;

export const sessionAssumptions: readonly Assumption[] = [
  {
    name: "a session has one holder, who gets its messages in their order; one that is released costs no attempt",
    expected: { requires: true, ids: ["a1", "a2", "a3"], other: "b", again: "a3", attempt: 1 },
    async look(scene) {
      const queue = await scene.queue("order", { requiresSession: true });
      const [one, another] = [await scene.transport({ queue }), await scene.transport({ queue })];
      await scene.send(queue, ["a1", "a2", "a3"], { sessionId: "a" });
      const first = await one.acceptSession(acceptWithinMs);
      await scene.send(queue, ["b1"], { sessionId: "b" });
      const other = await another.acceptSession(acceptWithinMs);
      if (first === undefined || other === undefined) throw new Error("expected a session for each, found none");
      const reader = new Reader(first);
      const ids: string[] = [];
      for (let count = 0; count < 2; count += 1) {
        const delivery = await reader.next();
        ids.push(delivery.messageId);
        await one.settle([{ verb: "complete", delivery }]);
      }
      ids.push((await reader.next()).messageId);
      await first.release();
      const back = await one.acceptSession(acceptWithinMs);
      const last = back === undefined ? undefined : await new Reader(back).next();
      return { requires: await one.requiresSessions(), ids, other: other.id, again: last?.messageId, attempt: last?.attempt };
    },
  },
  {
    name: "a session's state is kept for whoever holds it next, and taken away by nothing",
    expected: { before: undefined, kept: "halfway", renewed: "renewed", after: undefined },
    async look(scene) {
      const queue = await scene.queue("state", { requiresSession: true });
      const transport = await scene.transport({ queue });
      await scene.send(queue, ["m"], { sessionId: "s" });
      const session = await transport.acceptSession(acceptWithinMs);
      if (session === undefined) throw new Error("expected a session, found none");
      const text = (state: Uint8Array | undefined): string | undefined => (state === undefined ? undefined : Buffer.from(state).toString());
      const before = text(await session.getState());
      await session.setState(Buffer.from("halfway"));
      const renewed = (await session.renew()).kind;
      await session.release();
      const next = await transport.acceptSession(acceptWithinMs);
      const kept = text(await next?.getState());
      await next?.setState(undefined);
      return { before, kept, renewed, after: text(await next?.getState()) };
    },
  },
];
