/** The plugin of the drill, written into its folder: a file there says which kinds are mended, another one collects the effects. */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const runtime = fileURLToPath(import.meta.resolve("#runtime/index.ts"));

export const mendedFile = "mended";
export const effectsFile = "effects";

function sourceOf(folder: string): string {
  return `import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { definePlugin, defineSkill, PermanentError, TransientError } from ${JSON.stringify(runtime)};
const mended = ${JSON.stringify(join(folder, mendedFile))};
const effects = ${JSON.stringify(join(folder, effectsFile))};
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: "Ordered", versions: "1.x" }],
  retry: { attemptsMax: 1 },
  async run(context) {
    const { kind, number } = context.event.payload;
    const { eventId } = context.event;
    await context.step("reserve", { kind: "keyed" }, (step) => appendFileSync(effects, \`\${eventId} reserve \${step.idempotencyKey}\\n\`));
    appendFileSync(effects, \`\${eventId} tried -\\n\`);
    if (!existsSync(mended) || !readFileSync(mended, "utf8").split(" ").includes(kind)) {
      const message = \`order \${number} of \${eventId} was refused\`;
      throw number % 2 === 0 ? new PermanentError(message, { code: kind }) : new TransientError(message, { code: kind });
    }
    await context.step("pay", { kind: "keyed" }, (step) => appendFileSync(effects, \`\${eventId} pay \${step.idempotencyKey}\\n\`));
  },
});
export default definePlugin({ skills: [payer] });
`;
}

export function writePlugin(folder: string): void {
  const place = join(folder, "payer");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "payer", version: "1.0.0", entry: "./index.ts", skills: ["payer"], dependencies: [] }),
  );
  writeFileSync(join(place, "index.ts"), sourceOf(folder));
}
