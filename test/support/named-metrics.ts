// Metrics that a text of another language names.
import { type MetricName, metricCatalogue } from "#runtime/core/metric-catalogue.ts";

/** Without what a histogram adds. */
function metricsIn(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/(?<![\w:])holdfast_\w+/g)].map(([name]) => name.replace(/_(bucket|sum|count)$/, "")));
}

/** Labels that come from what scrapes. */
const scraped: readonly string[] = ["job", "instance", "le", "rollouts_pod_template_hash"];

/** Names of metrics that there are none of, and labels that those named do not have; empty where all is well. */
export function unknownMetrics(text: string): readonly string[] {
  const unknown = [...metricsIn(text)].filter((name) => metricCatalogue[name as MetricName] === undefined);
  const labels = [...text.matchAll(/(?<![\w:])(holdfast_\w+?)(?:_bucket|_sum|_count)?\{([^}]*)\}/g)].flatMap(([, name = "", matchers = ""]) => {
    const known: readonly string[] = [...(metricCatalogue[name as MetricName]?.labels ?? []), ...scraped];
    return [...matchers.matchAll(/(\w+)(?:=|!=|=~|!~)"/g)].flatMap(([, label = ""]) => (known.includes(label) ? [] : [`${name}{${label}}`]));
  });
  return [...unknown, ...labels];
}

/** Labels after `by` that no metric of the expression has, and that nothing else gives. */
export function unknownGroups(expression: string): readonly string[] {
  const known = new Set([...scraped, ...[...metricsIn(expression)].flatMap((name) => metricCatalogue[name as MetricName]?.labels ?? [])]);
  return [...expression.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, list = ""]) =>
    list
      .split(",")
      .map((label) => label.trim())
      .filter((label) => !known.has(label)),
  );
}
