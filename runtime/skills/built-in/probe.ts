/** What probes reach: a step, so that they go through a checkpoint as any run does, and nothing else. Threads import it as they import a plugin. */
import { probeEventType, probeSkill } from "../../core/probe.ts";
import { type Plugin, definePlugin } from "../author/define-plugin.ts";
import { type Skill, defineSkill } from "../author/define-skill.ts";

const probe: Skill = defineSkill({
  name: probeSkill,
  handles: [{ eventType: probeEventType }],
  timeoutMs: 10_000,
  // It says how things are now: what fails is told, and the next one tries again.
  retry: { attemptsMax: 1, immediateMax: 0 },
  steps: (begin) => begin.step("checkpoint", { kind: "idempotent" }, () => true),
});

const plugin: Plugin = definePlugin({ module: import.meta.url, name: "holdfast", skills: [probe] });

export default plugin;
