import { metricCatalogue, metricNames } from "#runtime/core/metric-catalogue.ts";

/** The table of metrics as the documentation shows it. */
export function metricTable(): string {
  const rows = metricNames.map((name) => {
    const { type, labels, unit, help } = metricCatalogue[name];
    return `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${unit} | ${help.replaceAll("|", "\\|")} |`;
  });
  return ["| metric | type | labels | unit | what it says |", "|---|---|---|---|---|", ...rows].join("\n");
}
