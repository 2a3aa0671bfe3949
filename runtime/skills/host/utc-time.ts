const timestampPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$/;

/** An ISO 8601 time, in UTC: one without a zone is UTC, one with another zone is converted. Undefined for one that does not exist. */
export function utcTimeOf(text: string): string | undefined {
  if (isPlainUtc(text)) return text;
  const match = timestampPattern.exec(text);
  if (match === null) return undefined;
  const zoned = match[1] === undefined ? `${text}Z` : text;
  if (Number.isNaN(Date.parse(zoned))) return undefined;
  return zoned.endsWith("Z") ? zoned : new Date(zoned).toISOString();
}

const zero = 0x30;
const dash = 0x2d;
const colon = 0x3a;
const point = 0x2e;

/** Up to here a day is in every month: whether a later one exists is for `Date` to say. */
const dayInEvery = 28;

/** Whether it is as nearly every producer writes it, `2024-05-01T12:00:00.000Z`, and surely exists: a look that costs a fifth of asking `Date`. */
function isPlainUtc(text: string): boolean {
  const last = text.length - 1;
  if (last < 19 || last > 29 || text.charCodeAt(last) !== 0x5a) return false;
  if (text.charCodeAt(4) !== dash || text.charCodeAt(7) !== dash || text.charCodeAt(10) !== 0x54) return false;
  if (text.charCodeAt(13) !== colon || text.charCodeAt(16) !== colon) return false;
  const month = twoDigits(text, 5);
  const day = twoDigits(text, 8);
  if (twoDigits(text, 0) < 0 || twoDigits(text, 2) < 0 || month < 1 || month > 12 || day < 1 || day > dayInEvery) return false;
  if (!isBelow(twoDigits(text, 11), 24) || !isBelow(twoDigits(text, 14), 60) || !isBelow(twoDigits(text, 17), 60)) return false;
  if (last === 19) return true;
  if (last === 20 || text.charCodeAt(19) !== point) return false;
  for (let at = 20; at < last; at += 1) if (!isDigit(text.charCodeAt(at) - zero)) return false;
  return true;
}

function isBelow(number: number, limit: number): boolean {
  return number >= 0 && number < limit;
}

function isDigit(number: number): boolean {
  return isBelow(number, 10);
}

/** -1 for what is none. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - zero;
  const ones = text.charCodeAt(at + 1) - zero;
  return isDigit(tens) && isDigit(ones) ? tens * 10 + ones : -1;
}
