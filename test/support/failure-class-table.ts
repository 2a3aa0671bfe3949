import { failureTable } from "#runtime/core/failure-class.ts";

/** The table of failure classes as the documentation shows it. */
export function failureClassTable(): string {
  const rows = failureTable.map(
    ({ source, codes, class: failureClass, definite, meaning }) =>
      `| ${source} | ${codes.map((code) => `\`${code}\``).join(", ")} | ${failureClass} | ${definite ? "yes" : "no"} | ${meaning} |`,
  );
  return ["| from | code | class | nothing happened | what it means |", "|---|---|---|---|---|", ...rows].join("\n");
}
