// Keeps secrets out of logs, failures and dead-letter descriptions. A net below careful authors, not a substitute for them.

const mask = "[redacted]";

/** Names of fields whose values are not shown. */
const secretName = /pass(word|phrase|wd)?$|secret|token$|authorization|cookie|credential|private.?key|api.?key|access.?key|connection.?string|signature/i;

/** What secrets look like inside a text: each keeps its first group and loses the rest. */
const secretTexts: readonly RegExp[] = [
  /\b((?:Bearer|Basic)\s+)[A-Za-z0-9+/._~=-]{8,}/gi,
  /\b((?:SharedAccessKey|SharedAccessSignature|AccountKey|sig|password|pwd|secret|api[_-]?key|token|client[_-]?secret)["']?\s*[=:]\s*["']?)[^\s"'&;,]+/gi,
  /(\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@]*:)[^\s/@]+(?=@)/gi,
];

export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** A text without what looks like a secret in it. */
export function redact(text: string): string {
  let redacted = text;
  for (const pattern of secretTexts) redacted = redacted.replace(pattern, `$1${mask}`);
  return redacted;
}

const depthMax = 5;
const entriesMax = 50;
const textMax = 1_000;

/** A value fit for a log line: plain data, secrets masked, deep or long parts cut. */
export function redactValue(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return redact(value.length > textMax ? `${value.slice(0, textMax)}…` : value);
  if (typeof value === "number" || typeof value === "boolean" || value === null || value === undefined) return value;
  if (typeof value === "bigint") return `${value}`;
  if (typeof value !== "object") return `[${typeof value}]`;
  if (value instanceof Error) return { name: value.name, message: redact(value.message.slice(0, textMax)) };
  if (depth >= depthMax) return "[deep]";
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return value.slice(0, entriesMax).map((entry) => redactValue(entry, depth + 1));
  const entries = Object.entries(value).slice(0, entriesMax);
  return Object.fromEntries(entries.map(([name, entry]) => [name, isSecretName(name) ? mask : redactValue(entry, depth + 1)]));
}
