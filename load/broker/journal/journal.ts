// Keeps a broker's messages over a restart: everything that comes, changes and goes is appended to one file, and the file is
// written anew from what is held once most of it is of the past.
//
// A message that a sender was told to be accepted is in the system's hands; that it went away again is written a moment
// later, so that after a crash a completed message may come once more, and none is missing. Locks and the memory of
// duplicates are not kept.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import type { EntitiesConfig } from "../entities/entities-config.ts";
import type { EntityJournal } from "../entities/message-store.ts";
import { RecordFile } from "./record-file.ts";
import { copied, type KeptMessage, kind, pack, packMessage, unpack, unpackMessage } from "./records.ts";

export interface KeptEntity {
  readonly messages: Map<number, KeptMessage>;
  readonly sessionStates: Map<string, Buffer>;
  lastSequence: number;
}

/** What a journal held when it was opened. */
export interface Kept {
  /** By path. */
  readonly entities: Map<string, KeptEntity>;
  /** The entities that were there; undefined = never written. */
  readonly definitions: EntitiesConfig | undefined;
  /** Bytes at the end of the file that were no whole record. */
  readonly cutBytes: number;
}

/** What an entity holds, for writing the file anew. */
export interface Keepable {
  readonly path: string;
  readonly lastSequence: number;
  messages(): Iterable<Parameters<EntityJournal["put"]>[0]>;
  sessionStates(): Iterable<readonly [sessionId: string, state: Buffer]>;
}

export interface JournalOptions {
  /** The file is written anew when it has this many bytes, and four times as many as after the last time. Default: 64 MB. */
  readonly compactBytesMin?: number;
}

const compactBytesMinDefault = 64 * 1024 * 1024;
const growthMax = 4;
const fileName = "messages.log";

export class Journal {
  readonly #folder: string;
  readonly #file: RecordFile;
  readonly #compactBytesMin: number;
  readonly #ids = new Map<string, number>();
  #compactAtBytes: number;
  #isScheduled = false;
  #isClosed = false;
  #holdings: (() => Iterable<Keepable>) | undefined;
  #definitions: (() => EntitiesConfig) | undefined;

  /** @param folder made if it is not there */
  constructor(folder: string, options: JournalOptions = {}) {
    mkdirSync(folder, { recursive: true });
    this.#folder = folder;
    this.#file = new RecordFile(join(folder, fileName));
    this.#compactBytesMin = options.compactBytesMin ?? compactBytesMinDefault;
    this.#compactAtBytes = this.#compactBytesMin;
  }

  /** Reads what was kept. To be called once, before anything is written. */
  read(): Kept {
    const entities = new Map<string, KeptEntity>();
    const byId = new Map<number, KeptEntity>();
    let definitions: EntitiesConfig | undefined;
    const cutBytes = this.#file.read((bytes) => {
      const record = unpack(bytes);
      if (record[0] === kind.entity) {
        const [, id, path] = record as [number, number, string];
        const entity = entities.get(path) ?? { messages: new Map(), sessionStates: new Map(), lastSequence: 0 };
        entities.set(path, entity);
        byId.set(id, entity);
        this.#ids.set(path, id);
      } else if (record[0] === kind.definitions) definitions = deserialize(record[1] as Buffer) as EntitiesConfig;
      else apply(record, byId.get(record[1] as number));
    });
    return { entities, definitions, cutBytes };
  }

  /** From now on the file is kept short: `holdings` tells what everything holds, `definitions` which entities there are. */
  start(holdings: () => Iterable<Keepable>, definitions: () => EntitiesConfig): void {
    this.#holdings = holdings;
    this.#definitions = definitions;
  }

  /** What one entity tells its comings and goings to. */
  entity(path: string): EntityJournal {
    const id = this.#idOf(path);
    return {
      put: (message) => this.#append(packMessage(id, message)),
      change: ({ sequenceNumber, state, deliveryCount, properties }) => this.#append(pack([kind.change, id, sequenceNumber, state, deliveryCount, properties])),
      remove: ({ sequenceNumber }) => this.#append(pack([kind.remove, id, sequenceNumber])),
      setSessionState: (sessionId, state) => this.#append(pack([kind.session, id, sessionId, state])),
    };
  }

  /** Which entities there are has changed. */
  onDefinitions(): void {
    if (this.#definitions !== undefined) this.#append(pack([kind.definitions, serialize(this.#definitions())]));
  }

  /** Which entities there are has changed; `gone` = the path of one that was deleted. */
  onChange(gone: string | undefined): void {
    if (gone !== undefined) this.forget(gone);
    this.onDefinitions();
  }

  /** An entity is gone with all it held, sub-queues and subscriptions, too. */
  forget(gone: string): void {
    const key = gone.toLowerCase();
    for (const [path, id] of this.#ids) if (path.toLowerCase() === key || path.toLowerCase().startsWith(`${key}/`)) this.#append(pack([kind.forget, id]));
  }

  /** Hands what was written to the system. */
  flush(): void {
    if (!this.#isClosed) this.#file.flush();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#file.close();
  }

  #idOf(path: string): number {
    let id = this.#ids.get(path);
    if (id === undefined) {
      id = this.#ids.size + 1;
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
      if (this.#file.bytes > this.#compactAtBytes && !this.#isClosed) this.#compact();
    });
  }

  /** Writes a new file of what is held now, and lets it take the place of the old one. */
  #compact(): void {
    if (this.#holdings === undefined || this.#definitions === undefined) return;
    const fresh = new RecordFile(join(this.#folder, `${fileName}.new`), "w+");
    fresh.append(pack([kind.definitions, serialize(this.#definitions())]));
    for (const [path, id] of this.#ids) fresh.append(pack([kind.entity, id, path]));
    for (const holding of this.#holdings()) {
      const id = this.#ids.get(holding.path);
      if (id === undefined) continue;
      fresh.append(pack([kind.sequence, id, holding.lastSequence]));
      for (const message of holding.messages()) fresh.append(packMessage(id, message));
      for (const [sessionId, state] of holding.sessionStates()) fresh.append(pack([kind.session, id, sessionId, state]));
    }
    fresh.replace(this.#file);
    this.#compactAtBytes = Math.max(this.#compactBytesMin, this.#file.bytes * growthMax);
  }
}

function apply(record: readonly unknown[], entity: KeptEntity | undefined): void {
  if (entity === undefined) return;
  switch (record[0]) {
    case kind.put: {
      const message = unpackMessage(record);
      entity.messages.set(message.sequenceNumber, message);
      entity.lastSequence = Math.max(entity.lastSequence, message.sequenceNumber);
      return;
    }
    case kind.change: {
      const [, , sequence, state, deliveryCount, properties] = record as [number, number, number, KeptMessage["state"], number, unknown];
      const message = entity.messages.get(sequence);
      if (message !== undefined) Object.assign(message, { state, deliveryCount, properties: copied(properties) });
      return;
    }
    case kind.remove:
      entity.messages.delete(record[2] as number);
      return;
    case kind.session: {
      const [, , sessionId, state] = record as [number, number, string, Uint8Array | undefined];
      if (state === undefined || state === null) entity.sessionStates.delete(sessionId);
      else entity.sessionStates.set(sessionId, Buffer.from(state));
      return;
    }
    case kind.sequence:
      entity.lastSequence = Math.max(entity.lastSequence, record[2] as number);
      return;
    case kind.forget:
      entity.messages.clear();
      entity.sessionStates.clear();
  }
}
