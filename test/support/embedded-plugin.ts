// A plugin as a program hands it to the worker that it embeds.
import { setTimeout as delay } from "node:timers/promises";
import { type Plugin, PermanentError, defineDependency, definePlugin, defineSkill } from "../../runtime/index.ts";

const ledger = defineDependency({ name: "ledger", bulkhead: { concurrentMax: 32, queueMax: 1_000 } });

const plugin: Plugin = definePlugin({
  module: import.meta.url,
  name: "embedded",
  dependencies: [ledger],
  skills: [
    defineSkill({
      name: "enter",
      handles: [{ eventType: "Entered" }],
      uses: [ledger],
      run: async (context) => {
        const { eventId } = context.event;
        await context.step("enter", (step) => step.call(ledger, { method: "POST", path: "/enter", body: { eventId } }));
        context.log.info("entered");
      },
    }),
    defineSkill({ name: "print", handles: [{ eventType: "Printed" }], run: () => console.log("printed by a skill") }),
    defineSkill({
      name: "refuse",
      handles: [{ eventType: "Refused" }],
      run() {
        throw new PermanentError("not like this", { code: "NOT_LIKE_THIS" });
      },
    }),
    defineSkill({
      name: "answer",
      handles: [{ eventType: "Asked" }],
      async run(context) {
        const { properties, deliveryAttempt, sequenceNumber, enqueuedAtMs } = await context.message();
        const { large, at } = properties;
        const isKnown = typeof sequenceNumber === "bigint" && Date.now() - enqueuedAtMs < 60_000;
        await context.reply({
          large: String(large),
          kinds: [typeof large, at instanceof Date],
          deliveryAttempt,
          isKnown,
          names: Object.keys(properties).length,
        });
      },
    }),
    defineSkill({ name: "wait", handles: [{ eventType: "Waited" }], run: () => delay(50) }),
  ],
});
export default plugin;
