/** Names that every plain object seems to know: wherever a name comes from outside, they must be names like any other. */
export const oddNames = ["constructor", "toString", "valueOf", "hasOwnProperty", "isPrototypeOf", "__proto__", "__defineGetter__", "prototype"] as const;

/** Those of them that begin with a letter, as names of skills, dependencies, steps and entities do. */
export const oddWords: readonly string[] = oddNames.filter((name) => !name.startsWith("_"));
