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

const exactPattern = /^(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,7}))?S)?)?$/;

/** .NET's ticks of 100 ns in a duration of either sign; undefined when the text is none. */
export function ticksOf(text: string): bigint | undefined {
  const match = /\d[DHMS]$/.test(text) ? exactPattern.exec(text) : null;
  if (match === null) return undefined;
  const [days, hours, minutes, seconds] = match.slice(2, 6).map((part) => BigInt((part as string | undefined) ?? 0));
  const whole = (((days ?? 0n) * 24n + (hours ?? 0n)) * 60n + (minutes ?? 0n)) * 60n + (seconds ?? 0n);
  const ticks = whole * 10_000_000n + BigInt((match[6] ?? "").padEnd(7, "0"));
  return match[1] === "-" ? -ticks : ticks;
}

export function textOfTicks(ticks: bigint): string {
  const size = ticks < 0n ? -ticks : ticks;
  const [days, rest] = [size / 864_000_000_000n, size % 864_000_000_000n];
  const [hours, minutes] = [rest / 36_000_000_000n, (rest / 600_000_000n) % 60n];
  const [seconds, fraction] = [(rest / 10_000_000n) % 60n, rest % 10_000_000n];
  const decimals = fraction === 0n ? "" : `.${String(fraction).padStart(7, "0").replace(/0+$/, "")}`;
  const time = `${hours > 0n ? `${hours}H` : ""}${minutes > 0n ? `${minutes}M` : ""}${seconds > 0n || decimals !== "" ? `${seconds}${decimals}S` : ""}`;
  return `${ticks < 0n ? "-" : ""}P${days > 0n ? `${days}D` : ""}${time === "" ? (days > 0n ? "" : "T0S") : `T${time}`}`;
}
