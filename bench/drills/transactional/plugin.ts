/** The plugin of the drill, written into its folder: a skill with two transactional steps and one between them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const moduleOf = (name: string): string => JSON.stringify(fileURLToPath(import.meta.resolve(name)));

export const eventType = "Paid";
export const steps: readonly string[] = ["charge", "post"];
export const accounts = 8;

/** What the drill's tables are; `sure` refuses a second row, `counted` does not. */
export const tables = `
CREATE TABLE sure (event_id text, step text, PRIMARY KEY (event_id, step));
CREATE TABLE counted (event_id text, step text);
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);
INSERT INTO accounts SELECT i, 0 FROM generate_series(0, ${accounts - 1}) i;
`;

export function writePlugin(folder: string, databaseUrl: string): string {
  const place = join(folder, "payer");
  mkdirSync(place);
  writeFileSync(
    join(place, "holdfast.plugin.json"),
    JSON.stringify({ name: "payer", version: "1.0.0", entry: "./index.ts", skills: ["payer"], dependencies: [] }),
  );
  writeFileSync(
    join(place, "index.ts"),
    `import { definePlugin, defineSkill } from ${moduleOf("#runtime/index.ts")};
import { fromPool } from ${moduleOf("#runtime/postgres/index.ts")};
import pg from ${moduleOf("pg")};
const pool = new pg.Pool({ connectionString: ${JSON.stringify(databaseUrl)}, max: 8 });
const database = fromPool(pool, { timeoutMs: 10_000 });
const options = { kind: "transactional", database };
const pay = (name) => async (step, client) => {
  const { eventId, payload } = step.event;
  await client.query("INSERT INTO counted VALUES ($1, $2)", [eventId, name]);
  await client.query("INSERT INTO sure VALUES ($1, $2)", [eventId, name]);
  await client.query("UPDATE accounts SET balance = balance + 1 WHERE id = $1", [payload.account]);
  return { name, at: step.event.eventId };
};
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: ${JSON.stringify(eventType)}, versions: "1.x" }],
  retry: { attemptsMax: 20, immediateDelayMs: 20, baseDelayMs: 100, delayFactor: 2, delayMaxMs: 1_000 },
  async run(context) {
    await context.step(${JSON.stringify(steps[0])}, options, pay(${JSON.stringify(steps[0])}));
    await context.step("between", { kind: "idempotent" }, () => context.event.eventId);
    await context.step(${JSON.stringify(steps[1])}, options, pay(${JSON.stringify(steps[1])}));
  },
});
export default definePlugin({ skills: [payer] });
`,
  );
  return place;
}
