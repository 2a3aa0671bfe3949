/** In the order in which they are run and read. */
export const scenarioNames: readonly string[] = [
  "peers",
  "latency",
  "settlement",
  "head-of-line",
  "isolation",
  "faults",
  "recovery",
  "overhead",
  "threads",
  "distance",
  "scale",
  "cold",
  "store",
  "soak",
];

/** Of those whose short form is no option of their own. */
export const quickParameters: ReadonlyMap<string, readonly string[]> = new Map([["store", ["--rounds", "1", "--batches", "10", "--fill", "50000"]]]);
