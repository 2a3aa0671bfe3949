/** The plugin of the drill, written into its folder: a skill that computes for as long as its event says, and leaves a line for each run. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const runtime = fileURLToPath(import.meta.resolve("#runtime/index.ts"));

export const effectsFile = "effects";

export function writePlugin(folder: string): void {
  const place = join(folder, "computer");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "computer", version: "1.0.0", entry: "./index.ts", skills: ["computer"], dependencies: [] }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { appendFileSync } from "node:fs";
import { definePlugin, defineSkill } from ${JSON.stringify(runtime)};
const effects = ${JSON.stringify(join(folder, effectsFile))};
const computer = defineSkill({
  name: "computer",
  handles: [{ eventType: "Computed", versions: "1.x" }],
  run(context) {
    const untilMs = performance.now() + context.event.payload.ms;
    while (performance.now() < untilMs);
    appendFileSync(effects, \`\${context.event.eventId} \${context.event.payload.ms}\\n\`);
  },
});
export default definePlugin({ skills: [computer] });
`,
  );
}
