// A plugin that is told things: settings, with a secret among them, and a resource that is made of them at the start.
import { z } from "zod";
import {
  type Plugin,
  type Resource,
  type Settings,
  PermanentError,
  defineDependency,
  definePlugin,
  defineResource,
  defineSettings,
  defineSkill,
} from "../../runtime/index.ts";

interface Told {
  readonly currency: "EUR" | "USD";
  readonly itemsMax: number;
  readonly password: string;
  readonly mail: { readonly from: string };
}

export const told: Settings<Told> = defineSettings({
  schema: z.strictObject({
    currency: z.enum(["EUR", "USD"]).default("EUR"),
    itemsMax: z.int().min(1),
    password: z.string().min(8),
    mail: z.strictObject({ from: z.email() }).default({ from: "shop@example.com" }),
  }),
  secrets: ["password"],
});

/** Made before any run, of what the plugin is told. */
export const till: Resource<{ readonly openedWith: number }> = defineResource({
  name: "till",
  openAt: "start",
  open: ({ settings }) => ({ openedWith: settings(told).password.length }),
});

const echo = defineDependency({
  name: "echo",
  request: async (request: string, { settings, use }) => `${request} ${settings(told).itemsMax} ${(await use(till)).openedWith}`,
});

const plugin: Plugin = definePlugin({
  module: import.meta.url,
  name: "told",
  dependencies: [echo],
  resources: [till],
  settings: told,
  skills: [
    defineSkill({
      name: "tell",
      handles: [{ eventType: "Asked" }],
      uses: [echo],
      async run(context) {
        const { settings } = context;
        const { password, ...rest } = settings(told);
        context.log.info(`the password is ${password}`, { said: `it is ${password}` });
        const echoed = await context.step("echo", (step) => step.call(echo, step.settings(told).currency));
        context.emit("Told", { ...rest, passwordCharacters: password.length, echoed });
      },
    }),
    defineSkill({
      name: "betray",
      handles: [{ eventType: "Betrayed" }],
      run({ settings }) {
        throw new PermanentError(`no log-in with ${settings(told).password}`, { code: "NO_LOG_IN" });
      },
    }),
  ],
});
export default plugin;
