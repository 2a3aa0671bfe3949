/** The pipelines of all sources of a worker, and what is done to them together. */
import type { RunStore } from "../ports/run-store.ts";
import type { PauseReason, Receiving } from "./receiving.ts";
import { checkKind } from "./session-kind.ts";
import type { SessionsView } from "./sessions.ts";
import { ofSource, type Source } from "./source.ts";
import { isMistake, type SourceTrouble } from "./source-health.ts";
import type { SourcePipeline } from "./source-pipeline.ts";
import type { Startable } from "./stop-all.ts";
import type { InFlight } from "./in-flight.ts";
import type { Work } from "./work.ts";

/** What anyone may see of a source. */
export interface SourceView {
  readonly source: string;
  /** Undefined while nothing is known to be wrong with it. */
  readonly trouble: SourceTrouble | undefined;
  readonly held: number;
  /** When the oldest and the youngest message that is held was enqueued, by the broker's clock; undefined while none is held. */
  readonly oldestMs: number | undefined;
  readonly youngestMs: number | undefined;
  /** Messages that it may still bring. */
  readonly credit: number;
  /** Messages taken since the start. */
  readonly received: number;
  /** Undefined where it is not read by sessions. */
  readonly sessions: SessionsView | undefined;
}

interface Held {
  count: number;
  oldestMs: number;
  youngestMs: number;
}

function hold(held: Held, enqueuedAtMs: number): void {
  held.count += 1;
  held.oldestMs = Math.min(held.oldestMs, enqueuedAtMs);
  held.youngestMs = Math.max(held.youngestMs, enqueuedAtMs);
}

/** Starts and stops all at once; each goes on to its end, also when another fails. */
function together(parts: readonly Startable[]): Startable {
  const all = async (act: (part: Startable) => Promise<void>): Promise<void> => {
    const failed = (await Promise.allSettled(parts.map(act))).find((result) => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  };
  return { start: () => all((part) => part.start()), stop: () => all((part) => part.stop()) };
}

/** What the first says of the store holds for all; each of them looks at it again when it is back. */
export function storeOf(sources: readonly Source[]): Pick<RunStore, "ping"> {
  const [first, ...others] = sources.map(({ store }) => store);
  return {
    ping: async () => {
      if ((await first?.ping()) !== true) return false;
      await Promise.all(others.map((store) => store.ping()));
      return true;
    },
  };
}

export class SourcePipelines {
  /** By source. */
  readonly all: readonly SourcePipeline[];
  readonly stores: Startable;
  /** Those that cannot be connected now are connected later, unless none can be, or a mistake keeps one from it that no time will mend. */
  readonly transports: Startable;
  readonly #sources: readonly Source[];
  /** They could not be connected at the start. */
  readonly #unconnected = new Set<Source>();

  constructor(sources: readonly Source[], make: (source: Source) => SourcePipeline) {
    this.#sources = sources;
    this.all = sources.map(make);
    this.stores = together(sources.map(({ store }) => store));
    this.transports = { start: () => this.#connect(), stop: () => together(sources.map(({ transport }) => transport)).stop() };
  }

  of({ source }: Work): SourcePipeline {
    return ofSource(this.all, source);
  }

  /** Learns what the stores know. Resolves with the secret of the first source. */
  async prepare(): Promise<string> {
    for (const source of this.#sources) if (!this.#unconnected.has(source)) await checkKind(source);
    const [secret = ""] = await Promise.all(this.all.map((pipeline) => pipeline.start()));
    return secret;
  }

  startReceiving(): void {
    for (const { receiving, source } of this.all) if (!this.#unconnected.has(source)) receiving.start();
  }

  /** What goes back from now on is for others. Resolves when no more can come. */
  async stopReceiving(): Promise<void> {
    for (const { health, settler } of this.all) {
      health.stop();
      settler.drain();
    }
    await Promise.all(this.all.map(({ receiving }) => receiving.stop()));
  }

  /** Nothing more is sent. */
  stopSending(): void {
    for (const { settler } of this.all) settler.stop();
  }

  pause(why: PauseReason): void {
    for (const { receiving } of this.all) receiving.pause(why);
  }

  resume(why: PauseReason): void {
    for (const { receiving } of this.all) receiving.resume(why);
  }

  /** Takes credit back that is beyond what there is room for now; of all but one. */
  trim(except?: Source): void {
    for (const { receiving, source } of this.all) if (source !== except) receiving.trim();
  }

  replenish(): void {
    for (const { receiving } of this.all) receiving.replenish();
  }

  /** A delivery has ended: its place, or what else came free, may be what any of them waits for. */
  replenishAfter(work: Work): void {
    this.of(work).receiving.replenish();
    if (this.all.length === 1) return;
    for (const { receiving } of this.all) if (receiving.waitsForRoom) receiving.replenish();
  }

  /** What other sources may bring, and a place for each of them that has no credit. */
  creditBeside(source: Source): { readonly others: number; readonly reserved: number } {
    let others = 0;
    let reserved = 0;
    for (const { receiving, source: other } of this.all) {
      if (other === source) continue;
      others += receiving.credit;
      if (receiving.credit === 0 && !receiving.isPaused) reserved += 1;
    }
    return { others, reserved };
  }

  /** Which part it has of the bytes that all of them may have on their way, so that these parts are no more than the whole. */
  partOf({ bringsMost }: Pick<Receiving, "bringsMost">): number {
    let messages = 0;
    for (const { receiving } of this.all) messages += receiving.bringsMost;
    return messages === 0 ? 1 / this.all.length : bringsMost / messages;
  }

  view(inFlight: Pick<InFlight, "forEach">): SourceView[] {
    const held = new Map<Source, Held>();
    inFlight.forEach(({ source, delivery }) => {
      const known = held.get(source);
      if (known === undefined) held.set(source, { count: 1, oldestMs: delivery.enqueuedAtMs, youngestMs: delivery.enqueuedAtMs });
      else hold(known, delivery.enqueuedAtMs);
    });
    return this.all.map(({ source, health, receiving, sessions }) => ({
      source: source.name,
      trouble: health.trouble,
      held: held.get(source)?.count ?? 0,
      oldestMs: held.get(source)?.oldestMs,
      youngestMs: held.get(source)?.youngestMs,
      credit: receiving.credit,
      received: receiving.received,
      sessions,
    }));
  }

  async #connect(): Promise<void> {
    const results = await Promise.allSettled(this.#sources.map(({ transport }) => transport.start()));
    const failed = results.flatMap((result, index) => (result.status === "rejected" ? [{ error: result.reason as unknown, index }] : []));
    const fatal = failed.length === results.length ? failed[0] : failed.find(({ error }) => isMistake(error));
    if (fatal !== undefined) throw fatal.error;
    for (const { error, index } of failed) {
      const { health, receiving, source } = this.all[index]!;
      this.#unconnected.add(source);
      health.connectLater(error, () => receiving.start());
    }
  }
}
