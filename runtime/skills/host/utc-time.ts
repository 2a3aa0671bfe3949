const timestampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** An ISO 8601 time, in UTC: one without a zone is UTC, one with another zone is converted. Undefined for one that does not exist. */
export function utcTimeOf(text: string): string | undefined {
  const match = timestampPattern.exec(text);
  if (match === null) return undefined;
  const zoned = match[1] === undefined ? `${text}Z` : text;
  if (Number.isNaN(Date.parse(zoned))) return undefined;
  return zoned.endsWith("Z") ? zoned : new Date(zoned).toISOString();
}
