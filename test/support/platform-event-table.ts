import { commonFields, type PlatformField, platformRows } from "#runtime/core/platform-catalogue.ts";

function fieldText(name: string, { type, values, meaning }: PlatformField): string {
  const kind = values === undefined ? type : values.map((value) => `\`${value}\``).join(" \\| ");
  return `\`${name}\` (${kind}): ${meaning}`;
}

/** The table of platform events as the documentation shows it. */
export function platformEventTable(): string {
  const rows = platformRows.map(({ eventType, version, meaning, isFrequent, payload }) => {
    const fields = Object.entries(payload).map(([name, field]) => fieldText(name, field));
    return `| \`${eventType}\` | ${version} | ${isFrequent ? "often" : ""} | ${meaning} | ${fields.join("; ")} |`;
  });
  const common = Object.entries(commonFields).map(([name, field]) => fieldText(name, field));
  return ["| event type | version | | what has happened | payload |", "|---|---|---|---|---|", ...rows, `| *all of them* | | | | ${common.join("; ")} |`].join(
    "\n",
  );
}
