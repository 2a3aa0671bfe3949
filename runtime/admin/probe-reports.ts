/** How a worker that sends probes hears how they ended: from itself, or from whoever settled them, by a note on the pool's board. */
import type { ProbeReport } from "../core/probe.ts";
import type { PoolBoard } from "../ports/pool-board.ts";

/** One for each probe that another worker has sent. */
const topic = "probes";
/** Longer than anybody waits. */
const keepMs = 900_000;

export class ProbeReports {
  readonly #board: PoolBoard;
  readonly #waiting = new Map<string, (report: ProbeReport) => void>();

  constructor(board: PoolBoard) {
    this.#board = board;
  }

  /** A probe has ended here. One whose note is not taken by the store is late, or lost, for whoever waits for it. */
  ended(report: ProbeReport): void {
    const hear = this.#waiting.get(report.eventId);
    if (hear !== undefined) hear(report);
    else this.#board.put(topic, report.eventId, JSON.stringify(report), keepMs).catch(() => undefined);
  }

  /** `hear` is called when it ends here; until what is answered is called. */
  await(eventId: string, hear: (report: ProbeReport) => void): () => void {
    this.#waiting.set(eventId, hear);
    return () => this.#waiting.delete(eventId);
  }

  /** What another worker has said of it; undefined while there is nothing, or nobody to ask. */
  async heard(eventId: string): Promise<ProbeReport | undefined> {
    try {
      const text = await this.#board.take(topic, eventId);
      return text === undefined ? undefined : (JSON.parse(text) as ProbeReport);
    } catch {
      return undefined;
    }
  }
}
