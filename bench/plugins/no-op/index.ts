/** Does nothing: what is measured is the runtime around it. */
import { type Plugin, type Skill, definePlugin, defineSkill } from "#runtime/index.ts";

const noOp: Skill = defineSkill({ name: "no-op", handles: [{ eventType: "Nothing", versions: "1.x" }], run: () => undefined });

const plugin: Plugin = definePlugin({ skills: [noOp] });
export default plugin;
