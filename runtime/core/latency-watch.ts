/** What is done with a skill whose runs take longer than usual. */
export const driftActions = ["hold-back", "report"] as const;

export type DriftAction = (typeof driftActions)[number];

/** From when on runs take longer than usual, and what is done then. */
export interface LatencyWatchPolicy {
  readonly enabled: boolean;
  /** So many times as long as usual is slow, and that many times as long again very slow; 1.1 to 100. */
  readonly factor: number;
  /** And longer by so much, for what takes no time takes twice as long easily; 0 to 3 600 000. */
  readonly differenceMinMs: number;
  /** `hold-back`: while it is slow, the window of its messages grows by one at a time, and while it is very slow not at all. */
  readonly action: DriftAction;
}

export const defaultLatencyWatchPolicy: LatencyWatchPolicy = { enabled: true, factor: 2, differenceMinMs: 10, action: "hold-back" };
