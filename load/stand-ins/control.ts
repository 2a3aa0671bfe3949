import fastify, { type FastifyInstance } from "fastify";
import { parseBehaviourChange } from "./behaviour.ts";
import type { Target } from "./target.ts";

/**
 * The side door of the stand-ins, a server apart so that a stand-in that hangs can still be told to stop:
 * `GET /ledger/summary`, `GET /ledger/repeats` and `GET /behaviour` answer an object with one field a target;
 * `POST /behaviour` changes one target or `all`; `DELETE /ledger` forgets every call.
 */
export function makeControl(targets: readonly Target[]): FastifyInstance {
  const control = fastify({ logger: false, forceCloseConnections: true });
  const byTarget = <Value>(pick: (target: Target) => Value): Record<string, Value> => Object.fromEntries(targets.map((target) => [target.name, pick(target)]));
  control.get("/ledger/summary", () => byTarget((target) => ({ ...target.ledger.summary(), hung: target.hung })));
  control.get("/ledger/repeats", () => byTarget((target) => target.ledger.repeats()));
  control.get("/behaviour", () => byTarget((target) => target.behaviour));
  control.delete("/ledger", () => {
    for (const target of targets) target.forget();
    return {};
  });
  control.post("/behaviour", (request, reply) => {
    const change = parseBehaviourChange(request.body);
    if ("error" in change) return reply.code(400).send({ error: change.error });
    const { target: name, ...fields } = change;
    const chosen = targets.filter((target) => name === "all" || target.name === name);
    if (chosen.length === 0)
      return reply.code(400).send({ error: `expected target to be all or one of ${targets.map((target) => target.name).join(", ")}, got ${name}` });
    for (const target of chosen) target.behave(fields);
    return byTarget((target) => target.behaviour);
  });
  return control;
}
