/**
 * The SDK ends a receive by draining the link. When the broker does not answer, it closes the link from inside a timer and
 * notifies nobody when that fails too: a broker that hangs for a minute would end the worker by an unhandled
 * rejection. Nothing can be awaited or wrapped from outside, so this is the one place where the adapter reaches beyond
 * itself. Every other rejection ends the process as before, unless someone else listens.
 */
let isGuarding = false;

/** From the first call on, for the life of the process: such a rejection may come a minute after everything was stopped. */
export function guardAgainstStrayRejections(): void {
  if (isGuarding) return;
  isGuarding = true;
  process.on("unhandledRejection", (reason) => {
    if (isStrayRejection(reason) || process.listenerCount("unhandledRejection") > 1) return;
    throw reason;
  });
}

/** What the AMQP client rejects a close with: its own timeout, or the peer's error. Neither has any other source. */
export function isStrayRejection(reason: unknown): boolean {
  if (typeof reason !== "object" || reason === null) return false;
  if ("name" in reason && reason.name === "OperationTimeoutError") return true;
  return "condition" in reason && typeof reason.condition === "string" && "description" in reason;
}
