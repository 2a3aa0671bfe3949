import type { Clock } from "../core/clock.ts";
import type { OutgoingMessage } from "../core/delivery.ts";
import { TransportError } from "../core/errors.ts";
import type { Publisher } from "../ports/publisher.ts";

export const sendAttemptsMax = 4;
export const sendPauseFirstMs = 100;
export const sendPauseMaxMs = 10_000;

/** Sends all messages, trying again a bounded number of times; false when the broker did not take them. */
export async function sendWithRetry(publisher: Publisher, clock: Clock, entity: string, messages: readonly OutgoingMessage[]): Promise<boolean> {
  for (let attempt = 1; attempt <= sendAttemptsMax; attempt += 1) {
    try {
      await publisher.send(entity, messages);
      return true;
    } catch (error) {
      if (attempt === sendAttemptsMax) return false;
      const asked = error instanceof TransportError ? error.retryAfterMs : undefined;
      const pauseMs = Math.min(sendPauseMaxMs, asked ?? sendPauseFirstMs * 2 ** (attempt - 1));
      await new Promise<void>((resolve) => {
        clock.after(pauseMs, resolve);
      });
    }
  }
  return false;
}
