/** The longest pause that is read from a header; whoever waits bounds it again. */
const retryAfterMaxMs = 86_400_000;

type Header = string | readonly string[] | undefined;

/**
 * The pause that an answer asks for: `retry-after-ms` and `x-ms-retry-after-ms` in milliseconds, `retry-after` in seconds or as a
 * date. A date is measured by the answer's own `date` where there is one, for our clock may be set otherwise than the server's.
 */
export function retryAfterOf(headers: Readonly<Record<string, Header>>, wallMs: number): number | undefined {
  const exact = numberOf(headers["retry-after-ms"]) ?? numberOf(headers["x-ms-retry-after-ms"]);
  if (exact !== undefined) return bounded(exact);
  const value = headers["retry-after"];
  if (typeof value !== "string") return undefined;
  const seconds = numberOf(value);
  if (seconds !== undefined) return bounded(seconds * 1_000);
  const untilMs = dateOf(value);
  return untilMs === undefined ? undefined : bounded(untilMs - (dateOf(headers["date"]) ?? wallMs));
}

function bounded(ms: number): number {
  return Math.min(retryAfterMaxMs, Math.max(0, Math.round(ms)));
}

function numberOf(value: Header): number | undefined {
  return typeof value === "string" && /^\s*\d{1,9}(?:\.\d{1,3})?\s*$/.test(value) ? Number(value) : undefined;
}

/** Only a date that names its day: `Date.parse` takes almost any text with a number in it for one. */
function dateOf(value: Header): number | undefined {
  if (typeof value !== "string" || !/^\s*[A-Z][a-z]+,? /.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
