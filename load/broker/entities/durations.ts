// Durations as Service Bus writes them: ISO 8601 of days and time, with a longest one that means "for ever".

const pattern = /^P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?$/;

/** Days from which on a duration means "for ever". */
const daysForEver = 10_675_199;
const forEver = "P10675199DT2H48M5.4775807S";

/** Milliseconds of a duration such as `PT1M`; Infinity for the longest; undefined when the text is none. */
export function parseDuration(text: string): number | undefined {
  const match = text.length > 2 && !text.endsWith("T") ? pattern.exec(text) : null;
  if (match === null) return undefined;
  const [days = 0, hours = 0, minutes = 0, seconds = 0] = match.slice(1).map((part) => Number(part ?? 0));
  return days >= daysForEver ? Infinity : Math.round((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1000);
}

export function formatDuration(ms: number): string {
  if (ms === Infinity) return forEver;
  const days = Math.floor(ms / 86_400_000);
  const hours = Math.floor(ms / 3_600_000) % 24;
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = (ms % 60_000) / 1000;
  const time = `${hours > 0 ? `${hours}H` : ""}${minutes > 0 ? `${minutes}M` : ""}${seconds > 0 ? `${seconds}S` : ""}`;
  if (days === 0 && time === "") return "PT0S";
  return `P${days > 0 ? `${days}D` : ""}${time === "" ? "" : `T${time}`}`;
}
