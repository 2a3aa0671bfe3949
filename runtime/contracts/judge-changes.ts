/**
 * Judges what changed in the contracts, by the platform's rules: within a major everybody keeps understanding everybody, so that a minor may add optional fields and
 * nothing else; whatever breaks somebody needs a new major; a field that is deprecated lives on for one major more. A version that others have is not changed at all.
 */
import type { SchemaChange } from "./compare-keywords.ts";
import { deprecatedFields } from "./compare-fields.ts";
import { compareSchemas } from "./compare-schemas.ts";
import { type ContractRegistry, type ContractType, type ContractVersion, newestOf } from "./registry.ts";
import { wholeTextOf, viewOf } from "./schema-view.ts";

/** `breaking` fails a check; `warning` is for somebody to look at; `compatible` says what changed and breaks nobody. */
export type JudgementLevel = "breaking" | "warning" | "compatible";

export interface Judgement {
  readonly level: JudgementLevel;
  readonly eventType: string;
  /** Empty where it is about the type. */
  readonly version: string;
  /** From the folder of the contracts; empty where there is none. */
  readonly file: string;
  /** Of the field, as `/items/*` + `/price`; empty for the payload as a whole. */
  readonly path: string;
  /** What was expected and found, and what to do. */
  readonly message: string;
}

/** `base`: the contracts that others have; undefined where there are none to compare with. */
export function judgeChanges(base: ContractRegistry | undefined, now: ContractRegistry): readonly Judgement[] {
  const judgements: Judgement[] = [];
  for (const type of now.types.values()) judgements.push(...judgeType(base?.types.get(type.eventType), type));
  for (const type of base?.types.values() ?? []) if (!now.types.has(type.eventType)) judgements.push(...judgeMissingType(type, base, now));
  return judgements;
}

function judgeType(base: ContractType | undefined, now: ContractType): readonly Judgement[] {
  const judgements: Judgement[] = [];
  for (const one of now.versions) {
    const published = base?.versions.find(({ version }) => version === one.version);
    if (published !== undefined) judgements.push(...judgePublished(now, published, one));
    else if (one.minor > 0) judgements.push(...judgeMinor(now, one));
    else judgements.push(...judgeMajor(base, now, one));
  }
  for (const one of base?.versions ?? []) {
    if (now.versions.some(({ version }) => version === one.version)) continue;
    judgements.push(judgeMissingVersion(now, one));
  }
  return judgements;
}

function about(type: ContractType, { version, file }: Pick<ContractVersion, "version" | "file">) {
  return (level: JudgementLevel, path: string, message: string): Judgement => ({ level, eventType: type.eventType, version, file, path, message });
}

const whom = { "old-events": "events of the older version", "new-events": "readers of the older version" } as const;

function described({ message, breaks }: SchemaChange): string {
  return breaks.length === 0 ? message : `${message} (breaks ${breaks.map((one) => whom[one]).join(" and ")})`;
}

/** A version that others have: nothing but its texts may change. */
function judgePublished(type: ContractType, published: ContractVersion, now: ContractVersion): readonly Judgement[] {
  const changes = compareSchemas(published.jsonSchema, now.jsonSchema);
  const say = about(type, now);
  // Deprecating a field changes no payload.
  if (changes.every(({ isText }) => isText === true)) return changes.map(({ path, message }) => say("compatible", path, message));
  const isBroken = changes.some(({ breaks }) => breaks.length > 0);
  const newest = newestOf(type, now.major);
  const next = isBroken ? `${(newestOf(type)?.major ?? now.major) + 1}.0` : `${now.major}.${(newest?.minor ?? now.minor) + 1}`;
  return changes.map((change) =>
    say(
      "breaking",
      change.path,
      `${described(change)}; expected ${now.version} unchanged, for others have it: restore the file, and write the change as ${next}`,
    ),
  );
}

/** Everybody within a major understands everybody. */
function judgeMinor(type: ContractType, now: ContractVersion): readonly Judgement[] {
  const before = type.versions.find(({ major, minor }) => major === now.major && minor === now.minor - 1);
  if (before === undefined) return [];
  const say = about(type, now);
  const changes = compareSchemas(before.jsonSchema, now.jsonSchema);
  if (changes.length === 0) return [say("compatible", "", `takes the same payloads as ${before.version}`)];
  return changes.map((change) =>
    change.breaks.length === 0
      ? say("compatible", change.path, change.message)
      : say(
          "breaking",
          change.path,
          `${described(change)}; expected a minor version to add optional fields alone: write it as ${(newestOf(type)?.major ?? now.major) + 1}.0`,
        ),
  );
}

/** A new major may change anything but what was promised to live on. */
function judgeMajor(base: ContractType | undefined, type: ContractType, now: ContractVersion): readonly Judgement[] {
  const say = about(type, now);
  const before = newestOf(type, now.major - 1) ?? (base && newestOf(base, now.major - 1));
  if (before === undefined) return [say("compatible", "", type.versions[0] === now ? "a new event type" : "a new major")];
  const longDeprecated = deprecatedIn(newestOf(type, now.major - 2) ?? (base && newestOf(base, now.major - 2)));
  const judgements = compareSchemas(before.jsonSchema, now.jsonSchema).map((change) => {
    if (change.what !== "removed") return say("compatible", change.path, `in a new major: ${change.message}`);
    if (change.wasDeprecated !== true)
      return say(
        "warning",
        change.path,
        `was removed without having been deprecated in ${before.major}.x; deprecate it in ${before.major}.${before.minor + 1} first, so that readers learn of it`,
      );
    return longDeprecated.has(change.path)
      ? say("compatible", change.path, `was removed, a major after ${before.major - 1}.x deprecated it`)
      : say(
          "breaking",
          change.path,
          `was removed, and was deprecated in ${before.major}.x only; expected it to live on through ${now.major}.x: keep it, and remove it in ${now.major + 1}.0`,
        );
  });
  if (!type.upcasters.has(before.major))
    judgements.push(
      say(
        "warning",
        "",
        `no upcaster ${before.major}-${now.major}.ts: events of ${before.major}.x reach skills that handle ${before.major}.x, and no others; write one, or keep such a skill`,
      ),
    );
  return judgements;
}

function deprecatedIn(version: ContractVersion | undefined): ReadonlySet<string> {
  return version === undefined ? new Set() : deprecatedFields(version.jsonSchema, (schema) => viewOf(version.jsonSchema, schema));
}

/** A major may go once nobody is promised it any more: when the one after the next is there. */
function judgeMissingVersion(now: ContractType, missing: ContractVersion): Judgement {
  const say = about(now, missing);
  const newest = newestOf(now)?.major ?? missing.major;
  const isWhole = now.versions.every(({ major }) => major > missing.major);
  if (isWhole && newest >= missing.major + 2)
    return say("warning", "", `was retired, ${newest}.x being there: events of ${missing.major}.x that are still sent are not checked any more`);
  return say(
    "breaking",
    "",
    isWhole
      ? `was deleted; expected ${missing.major}.x to live until there is ${missing.major + 2}.0: restore the file`
      : "was deleted, and others of its major are there; restore the file: a major goes as a whole",
  );
}

function judgeMissingType(missing: ContractType, base: ContractRegistry | undefined, now: ContractRegistry): readonly Judgement[] {
  const newest = newestOf(missing);
  const alike = [...now.types.values()].find((type) => base?.types.has(type.eventType) === false && wholeText(newestOf(type)) === wholeText(newest));
  const message =
    alike === undefined
      ? "the event type was deleted; restore its contracts until nobody sends or handles it, and deprecate it first"
      : `the event type was renamed to ${alike.eventType}: to skills that handle ${missing.eventType} it is deleted; restore its contracts, and send both until all handle the new one`;
  return [{ level: "breaking", eventType: missing.eventType, version: "", file: "", path: "", message }];
}

function wholeText(version: ContractVersion | undefined): string {
  return version === undefined ? "" : wholeTextOf(version.jsonSchema, version.jsonSchema);
}
