import { Target } from "./target.ts";

/** A receiver of webhooks, `POST /hooks/:channel`: takes any body and says under which number it was taken. */
export function makeNotifier(): Target {
  return new Target({
    name: "notifier",
    method: "POST",
    route: "/hooks/:parameter",
    answer: ({ parameter, number }) => ({ status: 202, body: JSON.stringify({ id: `hook-${number}`, channel: parameter, accepted: true }) }),
  });
}
