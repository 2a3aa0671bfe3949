// Times as rules write them.

/** The time that a text names; one without a zone is meant as UTC, wherever this runs. Undefined when it names none. */
export function timeOf(text: string): Date | undefined {
  const date = new Date(/(?:z|gmt|utc|[+-]\d\d:?\d\d)\s*$/i.test(text) ? text : `${text}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
