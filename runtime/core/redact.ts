/**
 * Keeps secrets out of logs, failures and dead-letter descriptions. A net below careful authors, not a substitute for them.
 *
 * `secretKinds` is all that is looked for inside a text, each kind with an example and what is left of it. A pattern must take
 * time in proportion to its text, whatever a sender writes: it begins only where a word begins, and what it may give back when
 * it fails is bounded.
 */
import { types } from "node:util";

const mask = "[redacted]";

/** Names of fields whose values are not shown. */
const secretName =
  /pass(?:word|phrase|wd|code)?$|pwd$|secret|(?:token|jwt|otp)$|authorization|cookie|credential|(?:private|api|access|account|shared|encryption|signing|master|subscription|function|storage).?key(?!.?(?:name|id)$)|connection.?string|signature|^sig$|^sas$/i;

export function isSecretName(name: string): boolean {
  return secretName.test(name);
}

/** `name=value` and `"name": "value"` in all their writings, for the names above. */
function besideSecretName(): RegExp {
  const names = secretName.source.replaceAll("$", String.raw`(?![\w.-])`).replaceAll("^", String.raw`(?<![\w.-])`);
  // The name of an error stands before words, not before a value.
  const name = String.raw`(?<![\w.-])(?![\w.-]{0,63}(?:Error|Exception)[ \t]{0,8}:)[\w.-]{0,63}?(?:${names})[\w.-]{0,63}(?:\\?["'])?[ \t]{0,8}[:=][ \t]{0,8}`;
  const value = String.raw`"(?:[^"\\]|\\[^])*"?|'(?:[^'\\]|\\[^])*'?|\\"[^"\\]*(?:\\")?|[^\s"'&;,\\{}[\]]+`;
  return new RegExp(String.raw`(${name})(?!expected |\[redacted\])(?:${value})`, "gi");
}

export interface SecretKind {
  readonly kind: string;
  /** Its first group, where it has one, stays; the rest of a match is masked. */
  readonly pattern: RegExp;
  readonly example: string;
  readonly shown: string;
}

/** Most specific first: what one kind has masked, the next one leaves as it is. */
export const secretKinds: readonly SecretKind[] = [
  {
    kind: "a PEM block, whole or cut, its lines ended by anything",
    pattern: /(-----BEGIN [A-Z0-9 ]{1,40}-----)(?!\[redacted\])[^]*?(?:-----END [A-Z0-9 ]{1,40}-----|$)/g,
    example: "key -----BEGIN EC PRIVATE KEY-----\\nMHcCAQEE\\n-----END EC PRIVATE KEY-----, refused",
    shown: "key -----BEGIN EC PRIVATE KEY-----[redacted], refused",
  },
  {
    kind: "a header line of cookies or of a log-in",
    pattern: /((?<![A-Za-z0-9-])(?:set-cookie|cookie|(?:proxy-)?authorization)\\?["']?[ \t]{0,8}[:=][ \t]{0,8}\\?["']?)(?!expected )[^\r\n"']+/gi,
    example: "Cookie: sid=31d4d96e407aad42; theme=dark\r\nAccept: */*",
    shown: "Cookie: [redacted]\r\nAccept: */*",
  },
  {
    kind: "the password in a URL, up to the last @ before its host",
    pattern:
      /((?<![A-Za-z0-9+.-])[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@?#"'<>]{0,256}:)(?:[^\s/?#"'<>]{0,512}(?=@)|(?!\d{1,5}(?:[/?#]|$))[^\s"'<>@]{0,512}(?=@))/gi,
    example: "amqp://user:p@ss@broker:5672/orders",
    shown: "amqp://user:[redacted]@broker:5672/orders",
  },
  {
    kind: "a JSON Web Token, whole or cut",
    pattern: /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{13,}(?:\.[A-Za-z0-9_-]*){0,4}/g,
    example: "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl, expired",
    shown: "got [redacted], expired",
  },
  {
    kind: "a scheme with what logs in",
    pattern: /(\b(?:Bearer|Basic|Digest|ApiKey|DPoP)[ \t]{1,8})[A-Za-z0-9+/._~=-]{8,}/gi,
    example: "sent Bearer 0123456789abcdef",
    shown: "sent Bearer [redacted]",
  },
  {
    kind: "a token of GitHub",
    pattern: /(?<![A-Za-z0-9_-])(?:gh[pousr]_|github_pat_)[A-Za-z0-9_]{10,}/g,
    example: "git push with ghp_0000000000EXAMPLE0000 or github_pat_00EXAMPLE00",
    shown: "git push with [redacted] or [redacted]",
  },
  {
    kind: "a secret key of a model provider or payment service",
    pattern: /(?<![A-Za-z0-9_-])(?:[sr]k|pk|whsec)[-_](?:live_|test_|proj-|ant-)?[A-Za-z0-9_-]{16,}/g,
    example: "incorrect key sk-proj-0000EXAMPLE00000000",
    shown: "incorrect key [redacted]",
  },
  {
    kind: "a token of Slack, GitLab, npm or Google",
    pattern: /(?<![A-Za-z0-9_-])(?:xox[a-z]-|xapp-|glpat-|npm_|AIza|ya29\.)[A-Za-z0-9_-]{10,}/g,
    example: "posted with xoxb-0000-EXAMPLE-0000",
    shown: "posted with [redacted]",
  },
  {
    kind: "a key id of AWS",
    pattern: /(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}/g,
    example: "signed by AKIAIOSFODNN7EXAMPLE",
    shown: "signed by [redacted]",
  },
  {
    kind: "a key of Azure Storage, Cosmos DB (64 bytes) or Service Bus, Event Hubs (32 bytes), by its length alone",
    pattern: /(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/]{86}==|[A-Za-z0-9+/]{43}=)(?![A-Za-z0-9+/=])/g,
    example: "tried SAS0EXAMPLE0EXAMPLE0EXAMPLE0EXAMPLE0EXAMPLE= and failed",
    shown: "tried [redacted] and failed",
  },
  {
    kind: "a client secret of Entra",
    pattern: /(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{20,}/g,
    example: "app with abc8Q~0EXAMPLE0EXAMPLE0EXAMPLE",
    shown: "app with [redacted]",
  },
  {
    kind: "a query's code or signature",
    pattern: /([?&;](?:code|sig|signature|key|token)=)[^\s&#"'<>;]+/gi,
    example: "https://app.example/run?code=a1b2c3==&x=1 and /blob?sv=1&sig=x%2By%3D",
    shown: "https://app.example/run?code=[redacted]&x=1 and /blob?sv=1&sig=[redacted]",
  },
  {
    kind: "a value beside a name of a secret, quoted or not",
    pattern: besideSecretName(),
    example: 'Server=db;Pwd=hunter2;x=1 {"pwd":"my pass","n":1} AccountKey=abc+/==; access_token=t',
    shown: 'Server=db;Pwd=[redacted];x=1 {"pwd":[redacted],"n":1} AccountKey=[redacted]; access_token=[redacted]',
  },
];

function masked({ pattern }: SecretKind, text: string): string {
  return text.replace(pattern, (_match, kept: unknown) => `${typeof kept === "string" ? kept : ""}${mask}`);
}

/**
 * Texts that are known to be secret, for the configuration referred to them or a plugin called them so: masked wherever they are met, in the forms that they have in
 * JSON and in URLs, too. A short one would mask half a log, and hides nothing from who can count.
 */
const known = new Set<string>();
/** The same, the longest first: of two that begin alike, the shorter would leave the rest of the longer. Made when it is first needed. */
let longestFirst: readonly string[] | undefined;
const knownLengthMin = 6;
/** Secrets are replaced: the oldest are forgotten. */
const knownMax = 1_000;

export function hideFromNowOn(secret: string): void {
  if (secret.length < knownLengthMin) return;
  longestFirst = undefined;
  for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]) {
    known.delete(form);
    known.add(form);
  }
  for (const form of known) {
    if (known.size <= knownMax) break;
    known.delete(form);
  }
}

/** At most `charactersMax`. One may be longer than what is shown: a piece at the end that may be the beginning of one is left out. */
function withoutKnown(text: string, charactersMax: number): string {
  longestFirst ??= [...known].sort((one, other) => other.length - one.length);
  const edge = longestFirst[0]?.length ?? 0;
  let masked = text.slice(0, charactersMax + edge);
  const isCut = masked.length < text.length;
  for (const secret of longestFirst) if (masked.includes(secret)) masked = masked.replaceAll(secret, mask);
  return masked.slice(0, isCut ? Math.max(0, masked.length - edge) : charactersMax);
}

/** What is looked at beyond the characters shown, so that a secret on the edge is known for what it is. */
const edgeCharacters = 512;

/** A text without what looks like a secret in it, cut to `charactersMax`. */
export function redact(text: string, charactersMax: number = Number.POSITIVE_INFINITY): string {
  const looked = charactersMax + edgeCharacters;
  let redacted = known.size === 0 ? text.slice(0, looked) : withoutKnown(text, looked);
  for (const kind of secretKinds) redacted = masked(kind, redacted);
  return redacted.length > charactersMax || text.length > looked ? `${redacted.slice(0, charactersMax)}…` : redacted;
}

const depthMax = 5;
const entriesMax = 50;
/** Values of one object, however they are nested. */
const valuesMax = 1_000;
const textMax = 1_000;
const unreadable = "[unreadable]";

/** A property that may be a getter, or of a proxy; undefined when reading it throws. */
export function fieldOf(value: unknown, key: PropertyKey): unknown {
  try {
    return (value as Readonly<Record<PropertyKey, unknown>>)[key];
  } catch {
    return undefined;
  }
}

/** A value fit for a log line: plain data, secrets masked, deep, long or unreadable parts left out. Never throws. */
export function redactValue(value: unknown): unknown {
  return redactPart(value, 0, { left: valuesMax });
}

function redactPart(value: unknown, depth: number, budget: { left: number }): unknown {
  if (typeof value === "string") return redact(value, textMax);
  if (typeof value === "number" || typeof value === "boolean" || value === null || value === undefined) return value;
  if (typeof value === "bigint") return `${value}`;
  if (typeof value !== "object") return `[${typeof value}]`;
  budget.left -= 1;
  if (budget.left < 0) return "[more]";
  try {
    return redactObject(value, depth, budget);
  } catch {
    return unreadable;
  }
}

function redactObject(value: object, depth: number, budget: { left: number }): unknown {
  if (value instanceof Error)
    return { name: redactPart(fieldOf(value, "name"), depthMax, budget), message: redactPart(fieldOf(value, "message"), depthMax, budget) };
  if (depth >= depthMax) return "[deep]";
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? "[no date]" : value.toISOString();
  if (value instanceof Map || value instanceof Set) return redactPart(Array.from(value as Iterable<unknown>), depth, budget);
  if (Array.isArray(value)) return value.slice(0, entriesMax).map((entry) => redactPart(entry, depth + 1, budget));
  const entries = Object.keys(value)
    .slice(0, entriesMax)
    .map((name) => [name, isSecretName(name) ? mask : redactField(value, name, depth, budget)]);
  return Object.fromEntries(entries) as unknown;
}

function redactField(value: object, name: string, depth: number, budget: { left: number }): unknown {
  let field: unknown;
  try {
    field = (value as Readonly<Record<string, unknown>>)[name];
  } catch {
    return unreadable;
  }
  return redactPart(field, depth + 1, budget);
}
