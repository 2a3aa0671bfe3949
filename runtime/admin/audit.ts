/** Who changed what, from what to what, and why: a line of the log each, and the last ones for whoever asks. */
import type { AdminRole } from "../core/config/admin.ts";
import { redactValue } from "../core/redact.ts";

export interface AuditEntry {
  readonly at: string;
  readonly who: string;
  readonly role: AdminRole;
  /** By its name in the API. */
  readonly operation: string;
  /** What it was about; empty for the worker as a whole. */
  readonly target: string;
  readonly reason: string;
  /** `done`, `dry-run`, or the kind of problem that it was refused with. */
  readonly result: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

const keptMax = 500;

export class Audit {
  readonly #write: (entry: AuditEntry) => void;
  readonly #entries: AuditEntry[] = [];
  readonly #counts = new Map<string, { readonly operation: string; readonly result: string; count: number }>();

  constructor(write: (entry: AuditEntry) => void) {
    this.#write = write;
  }

  add(entry: AuditEntry): void {
    const safe = { ...entry, before: redactValue(entry.before), after: redactValue(entry.after) };
    this.#entries.push(safe);
    if (this.#entries.length > keptMax) this.#entries.shift();
    this.count(entry);
    this.#write(safe);
  }

  /** For the metric; `add` does so, too. */
  count({ operation, result }: Pick<AuditEntry, "operation" | "result">): void {
    const key = `${operation} ${result}`;
    const known = this.#counts.get(key);
    if (known === undefined) this.#counts.set(key, { operation, result, count: 1 });
    else known.count += 1;
  }

  /** The last one first. */
  list(): readonly AuditEntry[] {
    return this.#entries.toReversed();
  }

  counts(): readonly { readonly operation: string; readonly result: string; readonly count: number }[] {
    return [...this.#counts.values()];
  }
}
