// The order in which entities and rules are listed.

/** In the order of their names, whatever the case that they are written in. */
export function byName<T>(items: Iterable<T>, nameOf: (item: T) => string): T[] {
  return [...items]
    .map((item) => [nameOf(item).toLowerCase(), item] as const)
    .sort(([a], [b]) => (a < b ? -1 : Number(a > b)))
    .map(([, item]) => item);
}
