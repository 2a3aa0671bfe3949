/** Live settings: from the file or the service that the configuration names, to the setters of the running worker, which the admin API uses too. */
import { resolve } from "node:path";
import type { Logger } from "pino";
import { type LiveListener, type LiveSource, watchSettingsFile } from "../adapters/live/settings-file.ts";
import { systemClock } from "../adapters/system/clock.ts";
import { waitsFor } from "../admin/worker-state.ts";
import type { RuntimeEvent } from "../core/catalogue.ts";
import type { Config } from "../core/config.ts";
import type { LiveSourceSettings } from "../core/config/live.ts";
import { messageOf } from "../core/errors.ts";
import type { LimitScope } from "../core/limits.ts";
import type { Worker } from "../pipeline/lifecycle.ts";
import { type LiveSetting, LiveSettings } from "../pipeline/live-settings.ts";
import type { Policies, PoliciesView } from "../pipeline/policies.ts";
import type { Flags } from "../skills/host/flags.ts";
import type { Reporter } from "../ports/telemetry.ts";
import { ownIdentity } from "./identity.ts";

export interface LiveParts {
  /** Once it is there. */
  readonly worker: () => Worker;
  readonly flags: Flags;
  readonly logger: Logger;
  readonly tell: (event: RuntimeEvent) => void;
}

/** Undefined where the configuration names none. */
export function composeLive({ live }: Config, directory: string, { worker, flags, logger, tell }: LiveParts): Reporter | undefined {
  if (live === undefined) return undefined;
  const settings = new LiveSettings({
    clock: systemClock,
    settingAt: (place) => settingAt(place, worker(), { flags, logger }),
    waitsFor: () => waitsFor(worker().view()),
    tell,
    from: live.appConfiguration === undefined ? "file" : "app-configuration",
    trialMs: live.trialMs,
  });
  const listener: LiveListener = { offer: (document) => settings.offer(document), refuse: (error) => settings.refuse(error) };
  let source: LiveSource | undefined;
  let isStopped = false;
  const stop = (): void => {
    isStopped = true;
    source?.stop();
    settings.stop();
  };
  return {
    start: () =>
      void sourceOf(live, directory, listener).then(
        (found) => {
          if (isStopped) return;
          source = found;
          source.start();
        },
        (error: unknown) => settings.refuse(messageOf(error)),
      ),
    stop: () => Promise.resolve(stop()),
    giveUp: stop,
  };
}

/** The service's library is loaded where it is used. */
async function sourceOf({ file, appConfiguration }: LiveSourceSettings, directory: string, listener: LiveListener): Promise<LiveSource> {
  if (appConfiguration === undefined) return watchSettingsFile(resolve(directory, file), listener);
  const [{ watchAppConfiguration }, credential] = await Promise.all([import("../adapters/live/app-configuration.ts"), ownIdentity()]);
  return watchAppConfiguration({ ...appConfiguration, credential }, listener);
}

function settingAt(place: readonly string[], worker: Worker, { flags, logger }: Pick<LiveParts, "flags" | "logger">): LiveSetting {
  const { policies } = worker;
  const [area = "", name = "", part = "", by = ""] = place;
  switch (area) {
    case "logLevel":
      return { read: () => ({ logLevel: logger.level }), change: ({ logLevel }) => void (logger.level = String(logLevel)) };
    case "flags":
      return { read: () => flags.all(), change: (values) => changeFlags(flags, values) };
    case "isPaused":
      return { read: () => ({ isPaused: worker.view().isPaused }), change: ({ isPaused }) => (isPaused === true ? worker.pause() : worker.resume()) };
    case "retryBudget":
      return { read: () => ({ ...policies.view().retryBudget.policy }), change: (values) => policies.changeRetryBudget(values) };
    case "loadShedding":
      return { read: () => ({ ...policies.view().loadShedding.policy }), change: (values) => policies.changeLoadShedding(values) };
    case "latencyWatch":
      return { read: () => ({ ...policies.view().latency.policy }), change: (values) => policies.changeLatencyWatch(values) };
    default:
      return part === "bulkhead" ? bulkheadOf(policies, name) : limitOf(policies, name, by === "all" ? undefined : (by as LimitScope));
  }
}

/** All or none. */
function changeFlags(flags: Flags, values: Readonly<Record<string, unknown>>): void {
  const before = flags.all();
  try {
    for (const [name, isOn] of Object.entries(values)) flags.set(name, isOn === true);
  } catch (error) {
    for (const [name, isOn] of Object.entries(before)) flags.set(name, isOn);
    throw error;
  }
}

function bulkheadOf(policies: Policies, name: string): LiveSetting {
  const found = (): PoliciesView["dependencies"][number] | undefined => policies.view().dependencies.find(({ dependency }) => dependency === name);
  return { read: () => ({ ...found()?.bulkhead.policy }), change: (values) => policies.changeBulkhead(name, values) };
}

function limitOf(policies: Policies, name: string, by: LimitScope | undefined): LiveSetting {
  const found = (): PoliciesView["limits"][number] | undefined =>
    policies.view().limits.find(({ dependency, policy }) => dependency === name && policy.by === by);
  return { read: () => ({ ...found()?.policy }), change: (values) => policies.changeLimit(name, by, values) };
}
