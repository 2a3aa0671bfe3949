/** One of the places that a worker reads, with what is its own: everything else the sources of a worker share. */
import type { SessionsSettings } from "../core/config/sessions.ts";
import type { SkillTable } from "../core/skill.ts";
import type { StoreDoubt } from "../policy/store-doubt.ts";
import type { RunStore } from "../ports/run-store.ts";
import type { Transport } from "../ports/transport.ts";

export interface SourceOptions {
  /** For people. */
  readonly name: string;
  /** What its runs are kept under, and part of every idempotency key: the same event from two sources is two runs. */
  readonly consumer: string;
  readonly transport: Transport;
  /** The records of its consumer. */
  readonly store: RunStore;
  /** Hears from the store that it has lost records. */
  readonly storeDoubt: StoreDoubt;
  /** Where scheduled copies go. */
  readonly retryEntity: string;
  /** What may come from it. */
  readonly skills: SkillTable;
  /** Deliveries past this attempt are dead-lettered before they are looked at; below the entity's own maximum. */
  readonly deliveriesMax: number;
  /** Its share of the threads beside others of its priority, when all are busy; above 0. */
  readonly weight: number;
  /** The greater goes first. */
  readonly priority: number;
  /** How it is read where it requires sessions; undefined where it must not. */
  readonly sessions?: SessionsSettings | undefined;
  /** Beside its sessions, what the transport receives is read, too. */
  readonly readsBesideSessions?: boolean | undefined;
}

export interface Source extends SourceOptions {
  /** Its place among the worker's sources, from 0. */
  readonly number: number;
  /** Length of a whole lock, as far as it is known; 0 before a message has come. */
  lockMs: number;
}

export function sourcesOf(all: readonly SourceOptions[]): readonly Source[] {
  return all.map((options, number) => ({ ...options, number, lockMs: 0 }));
}

/** What belongs to the source of something. */
export function ofSource<Part>(parts: readonly Part[], { number }: Source): Part {
  const part = parts[number];
  if (part === undefined) throw new RangeError(`expected one of ${parts.length} sources, got number ${number}`);
  return part;
}
