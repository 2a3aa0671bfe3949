// The top-level keys that are looked for in a body, whatever its codec.

/** Finds keys among bytes, without making strings of them. */
export class KeyTable {
  readonly #keys: readonly Uint8Array[];
  /** Places of the keys of each length. */
  readonly #placesByLength: readonly (readonly number[])[];

  /** A key's place is its place among `names`. */
  constructor(names: readonly string[]) {
    this.#keys = names.map((name) => Buffer.from(name, "utf8"));
    const lengthMax = Math.max(...this.#keys.map((key) => key.length));
    this.#placesByLength = Array.from({ length: lengthMax + 1 }, (_, length) => this.#keys.flatMap((key, place) => (key.length === length ? [place] : [])));
  }

  /** The place of the key at `[start, end)`, or -1. */
  placeOf(bytes: Uint8Array, start: number, end: number): number {
    const places = this.#placesByLength[end - start];
    if (places === undefined) return -1;
    for (let index = 0; index < places.length; index += 1) {
      const place = places[index]!;
      const key = this.#keys[place] as Uint8Array;
      let at = 0;
      while (at < key.length && bytes[start + at] === key[at]) at += 1;
      if (at === key.length) return place;
    }
    return -1;
  }
}

/** Places of the keys that routing wants, in a list of what was found. */
export const wanted = {
  eventId: 0,
  eventType: 1,
  version: 2,
  event_id: 3,
  event_type: 4,
  id: 5,
  type: 6,
  specversion: 7,
  dataschema: 8,
  eventTime: 9,
  dataVersion: 10,
} as const;

export const wantedKeys: KeyTable = new KeyTable(Object.keys(wanted));

/** A wanted key whose value is no string; `found` names what it is. */
export interface NotText {
  readonly found: string;
}

export type Found = string | NotText | undefined;

/** What a look at a body found, or why it cannot be read. */
export type TopLevel =
  | {
      readonly kind: "fields";
      readonly fields: readonly Found[];
      /** The object is the one item of a list. */
      readonly isListed: boolean;
    }
  | { readonly kind: "malformed"; readonly expected: string }
  | { readonly kind: "too-deep" };

const nothingFound: readonly Found[] = Object.keys(wanted).map(() => undefined);

/** A list with a place for each wanted key. */
export function emptyFields(): Found[] {
  return nothingFound.slice();
}

/** Which set of keys is enough to stop looking. */
export function isEnough(fields: readonly Found[], cloudEvents: boolean): boolean {
  if (fields[wanted.version] === undefined) return false;
  if (cloudEvents) return fields[wanted.id] !== undefined && fields[wanted.type] !== undefined;
  return (
    (fields[wanted.eventId] !== undefined && fields[wanted.eventType] !== undefined) ||
    (fields[wanted.event_id] !== undefined && fields[wanted.event_type] !== undefined)
  );
}
