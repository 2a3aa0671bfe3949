/** `holdfast debug`: a recorded run, gone through again in this process. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { contractsOf } from "../compose/contracts.ts";
import { composeSettings } from "../compose/settings.ts";
import { limitsOf } from "../compose/executor.ts";
import { ConfigurationError, messageOf } from "../core/errors.ts";
import type { LoadedPlugin } from "../skills/host/plugins.ts";
import { loadPlugins } from "../skills/host/plugins.ts";
import { importModule } from "../skills/host/import-module.ts";
import { SkillRegistry } from "../skills/host/registry.ts";
import type { Skill } from "../skills/author/define-skill.ts";
import { closeOutside } from "../testing/outside.ts";
import { routeOfMessage } from "../testing/recorded-run.ts";
import { type Rerun, rerun, type RerunOptions } from "../testing/rerun.ts";
import type { Stub } from "../testing/stub.ts";
import { checkStubs } from "../testing/stubs-file.ts";
import type { Surroundings } from "../testing/world/surroundings.ts";
import { type Case, type EmittedPayload, listening } from "./debug-case.ts";
import { awaitDebugger, pausing } from "./debug-inspect.ts";
import type { DebugOptions } from "./debug-options.ts";
import { type Account, accountOf, describeAccount, plainAccount } from "./debug-report.ts";
import { recordedRun } from "./debug-run.ts";
import { type Found, findRecorded } from "./debug-source.ts";
import { printJson } from "./dlq-letters.ts";
import { writeNote, writeText } from "./output.ts";
import { readJsonArgument } from "./runs-change.ts";

/** False when it was stopped at something that is not on record. */
export async function debug(what: string, options: DebugOptions): Promise<boolean> {
  const found = await findRecorded(what, options);
  // Everything that was asked of broker and store is closed by now; from here on nothing leaves.
  const outside = closeOutside({ native: options.native });
  const one = await makeCase(found, options);
  const watch = options.inspectBrk ?? options.inspect;
  const letGo = watch === undefined ? undefined : await awaitDebugger(watch);
  try {
    const skill = options.inspectBrk === undefined ? one.skill : pausing(one.skill);
    const again = await rerun({ ...one, skill, isWatched: watch !== undefined });
    const account = accountOf(one, again, outside);
    if (options.json === true) printJson(plainAccount(account));
    else writeText(describeAccount(account, options.native));
    if (options.toTest !== undefined) {
      const { writeTest } = await import("./debug-test.ts");
      writeNote(await writeTest(one, account, options, (file) => outside.mayWrite(file)));
    }
    return isWhole(account, again);
  } finally {
    // A debugger that is attached keeps a process that has failed from its end, too.
    letGo?.();
  }
}

function isWhole({ refused }: Account, again: Rerun): boolean {
  return again.kind === "ended" && refused.length === 0;
}

async function makeCase(found: Found, options: DebugOptions): Promise<Case> {
  const { config, whole, directory } = found.loaded;
  const plugins = await loadPlugins({ plugins: config.plugins, roots: config.pluginRoots, directory });
  const declared = contractsOf(whole, directory);
  const contracts = declared && (await (await import("../contracts/compiled-contracts.ts")).openContracts(declared));
  const registry = new SkillRegistry(plugins, whole, contracts);
  const { plugin, skill } = handlerOf(found, plugins, registry);
  const used = new Set(skill.uses.map(({ name }) => name));
  const surroundings: Surroundings = {
    dependencies: new Map([...config.dependencies].filter(([name]) => used.has(name))),
    skills: new Map([...config.skills].filter(([name]) => name === skill.name)),
    limits: limitsOf(config),
    envelopes: config.envelopes,
    folder: plugin.folder,
  };
  const emitted: EmittedPayload[] = [];
  const { settings, values } = (await composeSettings(plugins, whole)).get(plugin.name) ?? {};
  const provided = {
    settings: new Map(settings === undefined ? [] : [[settings, values]]),
    resources: new Map(),
    flags: config.flags,
    contracts: contracts && listening(contracts, emitted),
  };
  return {
    found,
    plugin,
    skill,
    surroundings,
    provided,
    contracts,
    emitted,
    run: recordedRun(found),
    answers: found.answers,
    stubs: await readStubs(options.stubs),
    session: sessionOf(found, options),
  };
}

/** Of an event that no skill handles any skill will do: it gets to none. */
function handlerOf(
  { message, loaded }: Found,
  plugins: readonly LoadedPlugin[],
  registry: SkillRegistry,
): { readonly plugin: LoadedPlugin; readonly skill: Skill } {
  const { config } = loaded;
  const answer = routeOfMessage(message, { limits: limitsOf(config), envelopes: config.envelopes });
  const policy = answer.ok ? registry.find(answer.route.eventType, answer.route.version) : undefined;
  const name = typeof policy === "object" ? policy.name : undefined;
  for (const plugin of plugins) {
    const skill = name === undefined ? plugin.skills[0] : plugin.skills.find((one) => one.name === name);
    if (skill !== undefined) return { plugin, skill };
  }
  throw new ConfigurationError("expected a plugin with a skill in the configuration, found none");
}

function sessionOf({ loaded, sessionId }: Found, { sessionState }: DebugOptions): RerunOptions["session"] {
  if (loaded.config.sources[0]?.sessions === undefined || sessionId === undefined) return undefined;
  return { id: sessionId, state: readJsonArgument("--session-state", sessionState) };
}

async function readStubs(file: string | undefined): Promise<readonly Stub[]> {
  if (file === undefined) return [];
  const path = resolve(file);
  const url = pathToFileURL(path).href;
  let module: { readonly default?: unknown };
  try {
    module = await importModule({ name: `--stubs ${file}`, url, folder: resolve(path, "..") });
  } catch (error) {
    throw new ConfigurationError(`--stubs: expected ${file} to load, it threw: ${messageOf(error, 4_000)}`, { cause: error });
  }
  return checkStubs(`--stubs ${file}`, module.default);
}
