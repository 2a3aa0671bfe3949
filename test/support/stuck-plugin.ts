// Skills that let nothing else happen on their thread, each in a way of its own.
import { openSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Plugin, type Skill, definePlugin, defineSkill } from "../../runtime/index.ts";

/** Tests hear what is said here, also of a thread whose loop does not turn. */
export const channel = "holdfast.test.stuck";
const said = new BroadcastChannel(channel);
said.unref();

/** Does something once the run that it is of has ended, and says so just before. */
function leave(something: () => void): void {
  setTimeout(() => {
    said.postMessage("left");
    something();
    said.postMessage("over");
  }, 20);
}

function skill(name: string, run: Skill["run"]): Skill {
  return defineSkill({ name, handles: [{ eventType: `test.${name}` }], run });
}

function work(forMs: number): void {
  const untilMs = performance.now() + forMs;
  while (performance.now() < untilMs) Math.random();
}

function loop(): never {
  for (;;) Math.random();
}

/** Native code: opening a pipe to read waits for who writes to it, and nothing ends the wait. */
function readPipe(payload: unknown): void {
  openSync((payload as { readonly pipe: string }).pipe, "r");
}

const plugin: Plugin = definePlugin({
  skills: [
    skill("noop", () => undefined),
    skill("deaf", () => new Promise(() => undefined)),
    skill("compute-later", () => delay(20).then(() => work(900))),
    skill("loop-later", () => delay(20).then(loop)),
    skill("loop-and-look", async ({ signal }) => {
      await delay(20);
      while (!signal.aborted) Math.random();
      signal.throwIfAborted();
    }),
    skill("wait-later", () => delay(20).then(() => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))),
    skill("leave-loop", () => leave(loop)),
    skill("outlast-loop", () => delay(150).then(() => (said.postMessage("left"), loop()))),
    skill("outlast-work", () => delay(150).then(() => (said.postMessage("left"), work(1_800), said.postMessage("over")))),
    skill("leave-work", () => leave(() => work(3_000))),
    skill("leave-native", ({ event }) => leave(() => readPipe(event.payload))),
    skill("tell", ({ event }) => said.postMessage((event.payload as { readonly eventId?: string }).eventId ?? "")),
    skill("throw-later", () => {
      setTimeout(() => {
        throw new Error("thrown later");
      }, 5);
      return new Promise(() => undefined);
    }),
    skill("native", ({ event }) => readPipe(event.payload)),
    skill("native-later", ({ event }) => delay(20).then(() => readPipe(event.payload))),
  ],
});
export default plugin;
