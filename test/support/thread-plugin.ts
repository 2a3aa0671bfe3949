// Skills for the tests of executors: well-behaved ones, and each way to go wrong.
import { setTimeout as delay } from "node:timers/promises";
import { PermanentError, TransientError, type Plugin, type Skill, defineDependency, definePlugin, defineSkill } from "../../runtime/index.ts";

const handles = (name: string): { readonly eventType: string }[] => [{ eventType: `test.${name}` }];

const limited = defineDependency({
  name: "limited",
  limits: [{ requestsPerMinute: 60 }],
  estimatedTokens: 3,
  request: async (request: string) => `${request}!`,
});
const local = defineDependency({ name: "local", request: async (request: string) => `${request}!` });

const dead = defineDependency({
  name: "dead",
  retry: { attemptsMax: 3, baseDelayMs: 1, delayMaxMs: 1 },
  request: async () => {
    throw new TransientError("dead", { definite: true });
  },
});

function skill(name: string, run: Skill["run"], rest: { readonly isolation?: "dedicated" } = {}): Skill {
  return defineSkill({ name, handles: handles(name), uses: [local, dead], ...rest, run });
}

function work(forMs: number): void {
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs) Math.random();
}

function block(): never {
  for (;;) Math.random();
}

function fillMemory(): void {
  const kept: unknown[] = [];
  for (;;) kept.push(Array.from({ length: 10_000 }, (_, at) => ({ at })));
}

const plugin: Plugin = definePlugin({
  dependencies: [local, dead, limited],
  skills: [
    skill("noop", () => undefined),
    skill("fail", () => {
      throw new PermanentError("no", { code: "NO" });
    }),
    skill("call-in-vain", (context) => context.call(dead, undefined)),
    skill("emit", (context) => {
      context.log.info("emitting", { password: "hunter2" });
      context.emit("Emitted", context.event.payload);
    }),
    skill("steps", async (context) => {
      const one = await context.step("one", { kind: "atMostOnce" }, () => ({ at: new Date(0) }));
      await context.step("two", {}, (step) => step.call(local, one.at.toISOString()));
    }),
    defineSkill({ name: "limited", handles: handles("limited"), uses: [limited], run: (context) => context.call(limited, "a") }),
    skill("wait", (context) => new Promise((resolve) => context.signal.addEventListener("abort", resolve))),
    skill("deaf", () => new Promise(() => undefined)),
    skill("busy", () => work(5)),
    skill("busy-long", () => work(800)),
    skill("block", block),
    skill("block-later", () => delay(5).then(block)),
    skill("block-outside", () => void setTimeout(block, 5)),
    skill("exit", () => process.exit(7)),
    skill("throw-outside", () => {
      setTimeout(() => {
        throw new Error("thrown outside");
      }, 1);
      return new Promise(() => undefined);
    }),
    skill("reject-outside", () => {
      void Promise.reject(new Error("nobody waits"));
    }),
    skill("fill-memory", fillMemory),
    skill("dedicated-block", block, { isolation: "dedicated" }),
    skill("busy-later", () => delay(20).then(() => work(20))),
    skill("sleep", () => delay(100)),
    skill("harmless-steps", async (context) => {
      for (const name of ["one", "two", "three"]) await context.step(name, { kind: "idempotent" }, () => name);
      await context.step("four", () => undefined);
    }),
    skill("harmless-end", async (context) => {
      const at = await context.step("one", { kind: "idempotent" }, () => new Date(context.attempt));
      await context.step("two", { kind: "idempotent" }, (step) => step.emit("Emitted", { at: at.getTime() }));
    }),
  ],
});
export default plugin;
