/** Without the keys that are undefined. */
export type Given<Changes> = { [Key in keyof Changes]?: Exclude<Changes[Key], undefined> };

/** Without the keys that are undefined. */
export function given<Changes extends object>(value: Changes | undefined): Given<Changes> {
  return Object.fromEntries(Object.entries(value ?? {}).filter(([, entry]) => entry !== undefined)) as Given<Changes>;
}
