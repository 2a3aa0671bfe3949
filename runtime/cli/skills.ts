/** `holdfast skills`: what is registered, from where, and what would handle which event. */
import { counted } from "../core/counted.ts";
import Table from "cli-table3";
import { describeSkills } from "../compose/skills.ts";
import { loadConfig } from "./load-config.ts";
import { writeResult, writeText } from "./output.ts";

export async function skills(options: { readonly config?: string; readonly json?: boolean }): Promise<void> {
  const { config, directory, file } = await loadConfig(options.config);
  const rows = await describeSkills(config, directory);
  if (options.json === true) {
    writeResult(`${JSON.stringify(rows, undefined, 2)}\n`);
    return;
  }
  const table = new Table({ head: ["skill", "event types", "uses", "time-out", "retries", "isolation", "plugin", "why"], style: { head: [], border: [] } });
  for (const row of rows) {
    table.push([
      row.name,
      row.handles.map(({ eventType, versions }) => `${eventType} ${versions.join(" ")}`).join("\n"),
      row.uses.join("\n") || "–",
      `${row.timeoutMs} ms`,
      String(row.retry.attemptsMax - 1),
      row.isolation,
      `${row.plugin.name}@${row.plugin.version}\n${row.plugin.folder}`,
      `listed as '${row.plugin.listedAs}'`,
    ]);
  }
  writeText(`${counted(rows.length, "skill")} from ${file}\n${table.toString()}\n`);
}
