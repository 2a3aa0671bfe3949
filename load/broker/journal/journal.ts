// Keeps a broker's messages over a restart: everything that comes, changes and goes is appended to one file, and the file is
// rewritten from what is held once most of it is of the past.
//
// Nothing is confirmed before it is written: `flush` is called before anything goes out to a client, so that one write, and
// with `isSynced` one sync, carries all that happened since the last one. Written means that it outlasts the process; a power
// cut may cost what the system had not put on the disk yet, unless every write is synced.
//
// When the disk refuses, what was not confirmed stays in memory, and `onTrouble` has every connection cut: clients cannot tell
// then what became of what they asked, which is the truth. From then on `isWritable` says no, and nothing new is taken, until a
// write succeeds.
import { copyFileSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { serialize } from "node:v8";
import { belongsTo } from "../entities/belonging.ts";
import type { EntitiesConfig } from "../entities/entities-config.ts";
import type { EntityJournal } from "../entities/message-store.ts";
import { type FolderLock, lockFolder } from "./folder-lock.ts";
import { Kept, type KeptDefinitions } from "./kept.ts";
import { RecordFile, type Write } from "./record-file.ts";
import { kind, pack, packMessage } from "./records.ts";

/** What an entity holds, for rewriting the file. */
export interface Keepable {
  readonly path: string;
  readonly lastSequence: number;
  messages(): Iterable<Parameters<EntityJournal["put"]>[0]>;
  sessionStates(): Iterable<readonly [sessionId: string, state: Buffer]>;
  /** When each message id was seen that still counts as a duplicate. */
  seen(): Iterable<readonly [messageId: string, atMs: number]>;
}

/** What everything holds. */
export interface Holdings {
  entities(): Iterable<Keepable>;
  definitions(): EntitiesConfig;
}

export interface JournalOptions {
  /** Whether every write is put on the disk before anything is confirmed, so that a power cut loses nothing. Default: false. */
  readonly isSynced?: boolean;
  /** Whether a damaged file is used for what is whole in it; it is kept beside the new one. Default: false, that is an error. */
  readonly repairs?: boolean;
  /** The file is rewritten when it has this many bytes, and four times as many as after the last time. Default: 64 MB. */
  readonly compactBytesMin?: number;
  /** What writes to the file. Default: the system. */
  readonly write?: Write;
}

/** The file is damaged in its middle. */
export class JournalDamagedError extends Error {
  readonly code = "JournalDamaged";
}

/** The folder cannot be used. */
export class JournalFolderError extends Error {
  readonly code = "JournalFolder";
}

const compactBytesMinDefault = 64 * 1024 * 1024;
const growthMax = 4;
const fileName = "messages.log";
/** Bytes of a batch, when the file is rewritten. */
const batchBytes = 1024 * 1024;

export class Journal {
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #file: RecordFile;
  readonly #options: JournalOptions;
  readonly #compactBytesMin: number;
  readonly #log: (message: string) => void;
  /** By path in lower case. */
  #ids = new Map<string, number>();
  #lastId = 0;
  #compactAtBytes: number;
  #mustCompact = false;
  #isScheduled = false;
  #isClosed = false;
  #trouble: string | undefined;
  #holdings: Holdings | undefined;
  #given: EntitiesConfig | undefined;
  /** Called when the disk begins to refuse. */
  onTrouble: () => void = () => undefined;

  /**
   * @param folder made if it is not there
   * @throws JournalFolderError, FolderInUseError, RecordFileError
   */
  constructor(folder: string, options: JournalOptions, log: (message: string) => void) {
    this.#folder = folder;
    this.#options = options;
    this.#log = log;
    this.#compactBytesMin = options.compactBytesMin ?? compactBytesMinDefault;
    this.#compactAtBytes = this.#compactBytesMin;
    try {
      makeFolder(resolve(folder));
      this.#lock = lockFolder(folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall === undefined) throw error;
      throw new JournalFolderError(
        `--data ${folder}: expected a folder that can be written to, found ${(error as Error).message}; name another one, or mend that`,
        { cause: error },
      );
    }
    if (this.#lock.tookOverFrom !== undefined) log(`${folder}: process ${this.#lock.tookOverFrom} ended without letting go of it; it is taken over`);
    try {
      rmSync(this.#freshPath, { force: true });
      this.#file = new RecordFile(join(folder, fileName), false, options.write);
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  /**
   * Reads what was kept. To be called once, before anything is written.
   *
   * @throws RecordFileError, JournalDamagedError
   */
  read(): Kept {
    try {
      return this.#read();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** From now on the file is kept short, and `given`, the entities that the broker was given, are remembered. */
  start(holdings: Holdings, given: EntitiesConfig): void {
    this.#holdings = holdings;
    this.#given = given;
    this.onDefinitions();
    if (this.#mustCompact) this.#compact();
  }

  /** What one entity tells its comings and goings to. */
  entity(path: string): EntityJournal {
    const id = this.#idOf(path);
    return {
      put: (message) => this.#append(packMessage(id, message)),
      change: ({ sequenceNumber, state, deliveryCount, properties, isInDoubt }) =>
        this.#append(pack([kind.change, id, sequenceNumber, state, deliveryCount, properties, isInDoubt])),
      lock: ({ sequenceNumber }) => this.#append(pack([kind.lock, id, sequenceNumber])),
      remove: ({ sequenceNumber }) => this.#append(pack([kind.remove, id, sequenceNumber])),
      setSessionState: (sessionId, state) => this.#append(pack([kind.session, id, sessionId, state])),
      seen: (messageId, atMs) => this.#append(pack([kind.seen, id, messageId, atMs])),
    };
  }

  /** Which entities there are has changed. */
  onDefinitions(): void {
    if (this.#holdings !== undefined) this.#append(this.#definitions(this.#holdings));
  }

  /** Which entities there are has changed; `gone` = the path of one that was deleted. */
  onChange(gone: string | undefined): void {
    if (gone !== undefined) this.forget(gone);
    this.onDefinitions();
    this.flush();
  }

  /**
   * The same for who waits to hear that it is kept.
   *
   * @throws JournalFolderError when it is not, so that it may be gone after a restart
   */
  confirmChange(gone: string | undefined): void {
    this.onChange(gone);
    if (this.#trouble !== undefined)
      throw new JournalFolderError(`The change holds, but the broker cannot write to its data folder, and it may be gone after a restart: ${this.#trouble}`);
  }

  /** An entity is gone with all it held, sub-queues and subscriptions, too. */
  forget(gone: string): void {
    for (const [path, id] of this.#ids) {
      if (!belongsTo(path, gone)) continue;
      this.#ids.delete(path);
      this.#append(pack([kind.forget, id]));
    }
  }

  /** Why nothing can be written now; undefined when it can, or when trying again succeeds. */
  get trouble(): string | undefined {
    if (this.#trouble !== undefined) this.flush();
    return this.#trouble;
  }

  /** Writes what has happened. Nothing may be confirmed before. */
  flush(): void {
    // What could not be written may have gone into the file that took the place of this one.
    if (this.#isClosed || (this.#file.isFlushed && this.#trouble === undefined)) return;
    try {
      this.#file.flush(this.#options.isSynced ?? false);
    } catch (error) {
      const isNew = this.#trouble === undefined;
      this.#trouble = (error as Error).message;
      if (!isNew) return;
      this.#log(`${this.#folder}: expected to write, found ${this.#trouble}; connections are cut, and nothing more is taken until there is room`);
      this.onTrouble();
      return;
    }
    if (this.#trouble !== undefined) this.#log(`${this.#folder}: it can be written to again`);
    this.#trouble = undefined;
  }

  close(): void {
    if (this.#isClosed) return;
    this.flush();
    this.#isClosed = true;
    try {
      this.#file.close();
    } finally {
      this.#lock.release();
    }
  }

  get #freshPath(): string {
    return join(this.#folder, `${fileName}.new`);
  }

  #read(): Kept {
    const kept = new Kept();
    const { damages, tornBytes } = this.#file.read((record) => kept.add(record));
    const [first] = damages;
    if (first !== undefined) {
      const bytes = damages.reduce((sum, damage) => sum + damage.bytes, 0);
      const found = `${this.#file.path}: expected whole records, found ${bytes} damaged bytes from byte ${first.at} on, and whole records behind them`;
      if (this.#options.repairs !== true)
        throw new JournalDamagedError(
          `${found}; start with --repair to go on without what was damaged (messages in it are missing, and settled ones may be back), or choose another folder`,
        );
      const copy = `${this.#file.path}.damaged`;
      copyFileSync(this.#file.path, copy);
      this.#log(`${found}; they are left out, and the file as it was is kept as ${copy}`);
      this.#mustCompact = true;
    }
    if (tornBytes > 0) {
      this.#file.cut(tornBytes);
      this.#log(`${this.#folder}: cut off ${tornBytes} bytes at the end that were no whole record: nothing in them was confirmed`);
    }
    this.#ids = new Map(kept.ids);
    this.#lastId = kept.lastId;
    return kept;
  }

  #definitions(holdings: Holdings): Buffer {
    const definitions: KeptDefinitions = { entities: holdings.definitions(), given: this.#given ?? { queues: [], topics: [] } };
    return pack([kind.definitions, serialize(definitions)]);
  }

  #idOf(entityPath: string): number {
    const path = entityPath.toLowerCase();
    let id = this.#ids.get(path);
    if (id === undefined) {
      id = ++this.#lastId;
      this.#ids.set(path, id);
      this.#append(pack([kind.entity, id, path]));
    }
    return id;
  }

  #append(record: Buffer): void {
    if (this.#isClosed) return;
    this.#file.append(record);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
      if (this.#file.bytes > this.#compactAtBytes && !this.#isClosed && this.#trouble === undefined) this.#compact();
    });
  }

  /** Writes a new file of what is held now, and lets it take the place of the old one. */
  #compact(): void {
    if (this.#holdings === undefined) return;
    this.flush();
    let fresh: RecordFile | undefined;
    try {
      fresh = new RecordFile(this.#freshPath, true, this.#options.write);
      this.#writeAll(fresh, this.#holdings);
      fresh.replace(this.#file);
      this.#mustCompact = false;
      this.#compactAtBytes = Math.max(this.#compactBytesMin, this.#file.bytes * growthMax);
    } catch (error) {
      // The old file is as good as before, only longer.
      fresh?.close();
      rmSync(this.#freshPath, { force: true });
      this.#compactAtBytes = this.#file.bytes * 2;
      this.#log(`${this.#folder}: expected to compact the file, found ${(error as Error).message}; it keeps growing`);
    }
  }

  #writeAll(fresh: RecordFile, holdings: Holdings): void {
    const write = (record: Buffer): void => {
      fresh.append(record);
      if (fresh.bytes - written > batchBytes) {
        fresh.flush(false);
        written = fresh.bytes;
      }
    };
    let written = fresh.bytes;
    write(this.#definitions(holdings));
    for (const [path, id] of this.#ids) write(pack([kind.entity, id, path]));
    for (const holding of holdings.entities()) {
      const id = this.#ids.get(holding.path.toLowerCase());
      if (id === undefined) continue;
      write(pack([kind.sequence, id, holding.lastSequence]));
      for (const message of holding.messages()) write(packMessage(id, message));
      for (const [sessionId, state] of holding.sessionStates()) write(pack([kind.session, id, sessionId, state]));
      for (const [messageId, atMs] of holding.seen()) write(pack([kind.seen, id, messageId, atMs]));
    }
  }
}

/** With what is above it. Node's own way of doing that never ends where a folder cannot be made, as in /proc. */
function makeFolder(folder: string): void {
  if (existsSync(folder)) return;
  makeFolder(dirname(folder));
  mkdirSync(folder);
}
