// What can be fuzzed, by name, and how a case of it runs.

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

export const targets: { readonly [name: string]: () => Promise<FuzzTarget> } = {
  broker: async () => (await import("./broker/target.ts")).brokerTarget,
  amqp: async () => (await import("./amqp/target.ts")).amqpTarget,
};
