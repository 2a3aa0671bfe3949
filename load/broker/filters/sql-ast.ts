// What a SQL filter or action says.

import type { Double } from "../codec/encoded.ts";

/** Types that JavaScript has no values of, by their XML Schema names. */
export type ExactType =
  | "byte"
  | "unsignedByte"
  | "short"
  | "unsignedShort"
  | "unsignedInt"
  | "unsignedLong"
  | "float"
  | "double"
  | "decimal"
  | "duration"
  | "char"
  | "guid"
  | "anyURI";

/** A constant as it was written. */
export interface Exact {
  readonly type: ExactType;
  readonly text: string;
}

type Simple = string | number | bigint | boolean | Date | Buffer | undefined;

/** A value that a rule names, in its own type; undefined is unknown: NULL. */
export type Constant = Simple | Exact;

/** A value in an expression; undefined is unknown: a property that is not there, or NULL. Numbers are whole, or else doubles. */
export type Value = Simple | Double;

export interface Property {
  readonly kind: "property";
  readonly scope: "sys" | "user";
  readonly name: string;
}

export type Comparison = "=" | "<>" | "<" | "<=" | ">" | ">=";
export type Arithmetic = "+" | "-" | "*" | "/" | "%";

export type Expression =
  | Property
  | { readonly kind: "constant"; readonly value: Value }
  | { readonly kind: "newId" }
  | { readonly kind: "propertyOf"; readonly name: Expression }
  | { readonly kind: "negate"; readonly of: Expression }
  | { readonly kind: "arithmetic"; readonly operator: Arithmetic; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "isNull"; readonly of: Expression; readonly negated: boolean }
  | { readonly kind: "in"; readonly of: Expression; readonly items: readonly Expression[]; readonly negated: boolean }
  | { readonly kind: "like"; readonly of: Expression; readonly pattern: Expression; readonly escape: Expression | undefined; readonly negated: boolean }
  | { readonly kind: "exists"; readonly property: Property }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "not"; readonly of: Expression };

export type Statement =
  | { readonly kind: "set"; readonly property: Property; readonly value: Expression }
  | { readonly kind: "remove"; readonly property: Property };

/** Constants by the name that an expression calls them by, after an @. */
export type Parameters = ReadonlyMap<string, Constant>;
