/**
 * What a skill thread is: opens the plugins, says hello, and takes batches of runs from then on. piscina calls
 * `accept` with each task; a task has ended when all its runs have begun, so that runs that wait for something keep no thread
 * from the next task. Their answers come later, through the port.
 */
import { setSourceMapsSupport } from "node:module";
import { MessageChannel, type MessagePort, parentPort, threadId, workerData } from "node:worker_threads";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { hideFromNowOn } from "../../core/redact.ts";
import type { AnyResource } from "../../skills/author/define-resource.ts";
import type { Skill } from "../../skills/author/define-skill.ts";
import { captureOutput } from "../../skills/host/captured-output.ts";
import { describeFailure } from "../../skills/host/failure.ts";
import { Flags } from "../../skills/host/flags.ts";
import { originOf } from "../../skills/host/module-owner.ts";
import { importPlugin } from "../../skills/host/plugins.ts";
import { type PreparedSkill, prepareSkills } from "../../skills/host/prepared-skill.ts";
import { runContext } from "../../skills/host/run-context.ts";
import type { ThreadOrder } from "../../skills/host/run-order.ts";
import { SkillHost, type SkillHostOptions } from "../../skills/host/skill-host.ts";
import { compileSettings, type GivenSettings, readSettings, type SettingsCheck } from "../../skills/host/settings.ts";
import { StartTimes } from "../../skills/host/start-times.ts";
import { answerWhenAsked } from "./ask-thread.ts";
import { Beginnings } from "./beginnings.ts";
import { collectGarbage } from "./collect-garbage.ts";
import { SkillLoopTimeCounter } from "./skill-loop-time.ts";
import { monotonicMs } from "./monotonic.ts";
import { releaseSlab, unpackOrders } from "./orders.ts";
import { rehearse } from "./rehearsal.ts";
import { Reporter } from "./reporter.ts";
import { type ThreadHello, type ThreadLastWords, type ThreadNews, type ThreadResources, type ThreadSettings, progressPlaces, pulseEveryMs } from "./wire.ts";

/** What the plugins of this thread are told, by their names. */
type ToldPlugins = Map<string, SettingsCheck>;

/** Has a plugin's skills see these settings from now on; what is wrong with them otherwise. */
async function tellSettings(host: SkillHost, told: SettingsCheck, { input, hidden }: GivenSettings): Promise<readonly string[]> {
  for (const text of hidden) hideFromNowOn(text);
  const read = await readSettings(told, input);
  if (!read.ok) return read.lines;
  host.settings.set(told.settings, read.values);
  return [];
}

async function loadSkills(
  { plugins, dependencies }: ThreadSettings,
  times: StartTimes,
  host: SkillHost,
  told: ToldPlugins,
): Promise<Map<string, PreparedSkill>> {
  const loaded: Skill[] = [];
  const resources: AnyResource[] = [];
  const pluginOf = new Map<string, { readonly name: string; readonly folder: string }>();
  for (const { name, entry, folder, skills, settings } of plugins) {
    const owner = `plugin '${name}'`;
    const plugin = await times.time(name, "", "import", () => importPlugin(owner, entry, folder));
    if (plugin.settings !== undefined) {
      const compiled = await compileSettings(name, plugin.settings);
      told.set(name, compiled);
      const lines = await tellSettings(host, compiled, settings ?? { input: {}, hidden: [] });
      if (lines.length > 0) throw new ConfigurationError(lines.join("; "));
    }
    resources.push(...plugin.resources);
    for (const skillName of skills) {
      const skill = plugin.skills.find((skill) => skill.name === skillName);
      if (skill === undefined) throw new ConfigurationError(`${owner}: expected a skill '${skillName}', as when it was loaded before, got none`);
      loaded.push(skill);
      pluginOf.set(skillName, { name, folder });
    }
  }
  await host.resources.openAtStart(resources);
  return prepareSkills(loaded, dependencies, (skill, part, work) => times.time(pluginOf.get(skill)?.name ?? "", skill, part, work), {
    folderOf: (skill) => pluginOf.get(skill)?.folder,
    info: host.resources.info,
  });
}

/** What a thread does about news beside its runs'. */
interface Duties {
  readonly closed: () => void;
  readonly renew: (news: Extract<ThreadNews, { readonly type: "settings" }>) => void;
}

function listen(host: SkillHost, news: ThreadNews, { closed, renew }: Duties): void {
  switch (news.type) {
    case "acknowledge":
      news.requestIds.forEach((requestId, index) => host.acknowledge(requestId, news.results[index] ?? "unavailable"));
      return;
    case "allow":
      news.requestIds.forEach((requestId, index) => host.allow(requestId, news.afterMs[index] ?? 0));
      return;
    case "answer":
      host.answer(news.requestId, news.said);
      return;
    case "extend":
      host.extend(news.tickets, news.leaseUntilMs);
      return;
    case "collect":
      collectGarbage(news.extent);
      break;
    case "interrupt":
      host.interrupt(news.tickets, news.as);
      return;
    case "settings":
      renew(news);
      return;
    case "close":
      // What is still at work belongs to others by now.
      host.stop();
      void host.resources.close().then(closed);
      return;
  }
}

/** Settings that cannot be used leave the ones before in their place. */
async function renewSettings(host: SkillHost, reporter: Reporter, told: SettingsCheck | undefined, given: GivenSettings): Promise<void> {
  if (told === undefined) return;
  const lines = await tellSettings(host, told, given).catch((error: unknown) => [messageOf(error)]);
  if (lines.length > 0) reporter.line("error", `settings were replaced by what cannot be used, those before stay: ${lines.join("; ")}`);
}

/** Reports what a plugin's code does outside of its runs, in the name of the run that it belongs to, or of the plugin whose module it is. */
function hearOutside(host: SkillHost, reporter: Reporter, port: MessagePort): void {
  const describeOrigin = (thrown: unknown): string => {
    const ids = runContext.getStore();
    const at = ids === undefined ? originOf(thrown)?.at : describeFailure(thrown, undefined, host.folderOf(ids)).record.at;
    return `${at === undefined ? "" : ` (${at})`}, ${host.describeOrigin(thrown, ids)}`;
  };
  const describe = (thrown: unknown): string => `${messageOf(thrown)}${describeOrigin(thrown)}`;
  const say = (why: string): void => {
    const lastWords: ThreadLastWords = { type: "last-words", why };
    port.postMessage(lastWords);
  };
  // A rejected promise that nobody waits for leaves no run half-way: it is logged, and the thread lives. What is thrown outside of
  // every promise ends it.
  process.on("unhandledRejection", (reason) => reporter.line("error", `a promise was rejected that nobody waits for: ${describe(reason)}`));
  process.on("uncaughtExceptionMonitor", (error) => say(`an error was thrown outside of every promise: ${describe(error)}`));
  const exit = process.exit.bind(process);
  process.exit = (code) => {
    say(`it exited with code ${code ?? process.exitCode ?? 0}, as process.exit was called${describeOrigin(new Error("process.exit"))}`);
    return exit(code);
  };
}

/** The main thread sees by it that the loop turns. */
function beat(progress: Int32Array): void {
  const pulse = (): unknown => Atomics.store(progress, progressPlaces.pulse, monotonicMs() | 0);
  pulse();
  setInterval(pulse, pulseEveryMs);
}

/** A task of piscina's: takes runs, and resolves when all of them have begun. */
export type AcceptTask = (bytes: Uint8Array) => Promise<Uint8Array>;

const clock: SkillHostOptions["clock"] = {
  monotonicMs,
  wallMs: Date.now,
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Nothing that a run of the thread's own has to do with is touched. */
async function rehearseAs({ limits, retries }: ThreadSettings, skills: ReadonlyMap<string, PreparedSkill>): Promise<void> {
  const callsHttp = [...skills.values()].some(({ dependencies }) => [...dependencies.values()].some(({ server }) => server !== undefined));
  const beginnings = new Beginnings(new Int32Array(Object.keys(progressPlaces).length));
  await rehearse({ limits, retries: retries.slice(0), clock, random: Math.random, callsHttp, begin: (...parts) => beginAll(...parts, beginnings) });
}

export async function open(): Promise<AcceptTask> {
  const settings = workerData as ThreadSettings;
  const { port1, port2 } = new MessageChannel();
  const progress = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT * Object.keys(progressPlaces).length);
  const places = new Int32Array(progress);
  const { sums, skills: counted } = settings.loopTime;
  const reporter = new Reporter(port1, settings, new SkillLoopTimeCounter(sums, counted, monotonicMs));
  const { consumers, agent, limits, contracts } = settings;
  // Before anything of a plugin's is loaded: stacks lead to the source where there is a map, and what it prints becomes log lines.
  setSourceMapsSupport(true);
  if (settings.logLevel !== undefined) captureOutput((stream, text) => reporter.line(stream === "stdout" ? "info" : "warn", text));
  const times = new StartTimes(monotonicMs);
  const skills = new Map<string, PreparedSkill>();
  const say = (resources: Omit<ThreadResources, "type">): void => port1.postMessage({ type: "resources", ...resources } satisfies ThreadResources);
  const told: ToldPlugins = new Map();
  const host = new SkillHost({
    resources: { opened: (names) => say({ open: names }), warn: (text) => reporter.line("warn", text) },
    consumers,
    agent,
    limits,
    skills,
    circuits: new Int32Array(settings.circuits),
    flags: new Flags(settings.flags),
    retries: settings.retries,
    sink: reporter.sink,
    clock,
    random: Math.random,
    traces: settings.traces,
    // Only a thread that has contracts loads what reads them.
    contracts: contracts === undefined ? undefined : await (await import("../../contracts/compiled-contracts.ts")).openContracts(contracts),
  });
  // What plugins leave behind while they are imported is heard already.
  hearOutside(host, reporter, port1);
  answerWhenAsked(() => host.atWork());
  try {
    for (const [name, skill] of await loadSkills(settings, times, host, told)) skills.set(name, skill);
    if (settings.rehearses) await rehearseAs(settings, skills);
  } catch (error) {
    // What is open by now is closed by nobody else.
    await host.resources.close();
    throw error;
  }
  const renewals = new Map<string, Promise<void>>();
  const duties: Duties = {
    closed: () => {
      reporter.flush();
      say({ open: [], areClosed: true });
    },
    renew: ({ plugin, given }) => {
      // One after the other: a check that takes longer must not put older ones in the place of newer ones.
      const before = renewals.get(plugin) ?? Promise.resolve();
      renewals.set(
        plugin,
        before.then(() => renewSettings(host, reporter, told.get(plugin), given)),
      );
    },
  };
  port1.on("message", (news: ThreadNews) => listen(host, news, duties));
  beat(places);
  const hello: ThreadHello = { type: "holdfast.thread", threadId, port: port2, progress, slow: times.slow };
  parentPort?.postMessage(hello, [port2]);
  const beginnings = new Beginnings(places);
  let last: Promise<unknown> = Promise.resolve();
  // One task after the other, also while one lets the loop turn: runs begin in the order of their numbers, so that the count of
  // those begun says which they are.
  return (bytes) => {
    const begin = (): Promise<Uint8Array> => beginAll(host, reporter, unpackOrders(bytes), beginnings);
    const task = last.then(begin, begin);
    last = task;
    return task;
  };
}

/** Begins the runs in their order, but those that were taken back; returns what there is to report by then. */
async function beginAll(host: SkillHost, reporter: Reporter, orders: readonly ThreadOrder[], beginnings: Beginnings): Promise<Uint8Array> {
  let workMs = 0;
  let sinceMs = monotonicMs();
  for (let index = 0; index < orders.length; index += 1) {
    const order = orders[index]!;
    if (!beginnings.begin()) continue;
    host.start(order);
    beginnings.letGo();
    const nowMs = monotonicMs();
    if (!reporter.isOverdue(nowMs)) continue;
    workMs += nowMs - sinceMs;
    await reporter.breathe(nowMs);
    sinceMs = monotonicMs();
  }
  workMs += monotonicMs() - sinceMs;
  releaseSlab(orders);
  // Runs that have just ended get in: the task's answer takes theirs along, and they cost no message of their own.
  await Promise.resolve();
  return reporter.take(workMs);
}
