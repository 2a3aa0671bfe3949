// What can be fuzzed, and how a case of it runs.

export interface FuzzTarget {
  /** One case from its seed. Throws what it found wrong. */
  runCase(seed: number): Promise<CaseReport>;
}

export interface CaseReport {
  /** What the case came to, to be counted. */
  readonly outcome: string;
  /** How deep it came: the states and events it passed, each to be counted once a case. */
  readonly reached?: Iterable<string>;
}
