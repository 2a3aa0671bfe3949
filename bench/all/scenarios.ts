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
  "observability",
  "threads",
  "distance",
  "scale",
  "cold",
  "footprint",
  "store",
  "soak",
];
