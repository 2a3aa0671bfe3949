/** Metrics as they are scraped. */

interface Value {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** All values of a series. */
export function valuesOf(text: string, name: string): readonly Value[] {
  return text.split("\n").flatMap((line) => {
    const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null || found[1] !== name) return [];
    const labels = [...(found[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((match) => [match[1], match[2]] as const);
    return [{ labels: Object.fromEntries(labels) as Record<string, string>, value: Number(found[3]) }];
  });
}

/** That with these labels and no others; undefined when there is none. */
export function valueOf(text: string, name: string, labels: Readonly<Record<string, string>>): number | undefined {
  const wanted = Object.entries(labels);
  return valuesOf(text, name).find((one) => Object.keys(one.labels).length === wanted.length && wanted.every(([label, value]) => one.labels[label] === value))
    ?.value;
}
