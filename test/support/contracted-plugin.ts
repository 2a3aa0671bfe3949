// A plugin whose skills live by the sample contracts.
import placed from "./contracts/OrderPlaced/2.0.ts";
import { type Plugin, definePlugin, defineSkill } from "../../runtime/index.ts";

const plugin: Plugin = definePlugin({
  module: import.meta.url,
  name: "contracted",
  skills: [
    defineSkill({
      name: "ship",
      handles: [{ eventType: "OrderPlaced", versions: "2.x" }],
      payload: placed,
      run: (context) =>
        context.emit("OrderShipped", { orderId: context.event.payload.orderId, at: `${2025 + context.event.payload.cents / 1250}-01-01T00:00:00Z` }),
    }),
  ],
});
export default plugin;
