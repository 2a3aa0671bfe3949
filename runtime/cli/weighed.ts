/** What findings come to, taken together: what keeps one of several sources from being read does not keep a worker from starting. */
import type { Config } from "../core/config.ts";
import type { Finding } from "./finding.ts";

/** More names than these are told by their number. */
const namesMax = 5;

/**
 * What `doctor` fails, no worker starts with: it would lose messages, run them twice, or get none. But one of several sources that may yet
 * be there, be enabled or be allowed does not keep the others from being read: what is wrong with it becomes a warning.
 */
export function weighed(findings: readonly Finding[], { sources }: Pick<Config, "sources">): readonly Finding[] {
  const away = new Set(findings.flatMap(({ verdict, awaits }) => (verdict === "failed" && awaits !== undefined ? [awaits] : [])));
  const others = sources.flatMap(({ name }) => (away.has(name) ? [] : [name]));
  if (others.length === 0) return findings;
  const goesOn = `start goes on with ${others.length > namesMax ? `${others.length} other sources` : others.join(", ")}`;
  return findings.map((finding) =>
    finding.verdict === "failed" && finding.awaits !== undefined
      ? { ...finding, verdict: "warning", remedy: `${goesOn}, and reads ${finding.awaits} once it can: ${finding.remedy}` }
      : finding,
  );
}
