// What a journal's records add up to.
import { deserialize } from "node:v8";
import type { EntitiesConfig } from "../entities/entities-config.ts";
import { copied, type KeptMessage, kind, unpack, unpackMessage } from "./records.ts";

export interface KeptEntity {
  readonly messages: Map<number, KeptMessage>;
  readonly sessionStates: Map<string, Buffer>;
  /** When each message id was seen, for finding duplicates; oldest first. */
  readonly seen: Map<string, number>;
  lastSequence: number;
  /** The highest number that a message had where it was first enqueued. */
  lastEnqueued: number;
}

export interface KeptDefinitions {
  /** The entities that were there. */
  readonly entities: EntitiesConfig;
  /** Those that the broker was given at its start. */
  readonly given: EntitiesConfig;
}

/** Adds records up, in their order. */
export class Kept {
  /** By path in lower case. */
  readonly entities: Map<string, KeptEntity> = new Map<string, KeptEntity>();
  /** Numbers of entities in the file, by path in lower case. */
  readonly ids: Map<string, number> = new Map<string, number>();
  /** The highest number of an entity, gone or not. */
  lastId = 0;
  /** Undefined = never written. */
  definitions: KeptDefinitions | undefined;
  readonly #byId = new Map<number, KeptEntity>();

  add(bytes: Buffer): void {
    const record = unpack(bytes);
    switch (record[0]) {
      case kind.entity:
        return this.#name(record[1] as number, record[2] as string);
      case kind.definitions:
        this.definitions = deserialize(record[1] as Buffer) as KeptDefinitions;
        return;
      case kind.forget:
        return this.#forget(record[1] as number);
    }
    const entity = this.#byId.get(record[1] as number);
    if (entity !== undefined) apply(record, entity);
  }

  #name(id: number, path: string): void {
    const entity = this.entities.get(path) ?? { messages: new Map(), sessionStates: new Map(), seen: new Map(), lastSequence: 0, lastEnqueued: 0 };
    this.entities.set(path, entity);
    this.ids.set(path, id);
    this.#byId.set(id, entity);
    this.lastId = Math.max(this.lastId, id);
  }

  #forget(gone: number): void {
    this.#byId.delete(gone);
    for (const [path, id] of this.ids) {
      if (id !== gone) continue;
      this.ids.delete(path);
      this.entities.delete(path);
    }
  }
}

function apply(record: readonly unknown[], entity: KeptEntity): void {
  switch (record[0]) {
    case kind.put: {
      const message = unpackMessage(record);
      entity.messages.set(message.sequenceNumber, message);
      entity.lastSequence = Math.max(entity.lastSequence, message.sequenceNumber);
      entity.lastEnqueued = Math.max(entity.lastEnqueued, message.enqueuedSequenceNumber);
      return;
    }
    case kind.change: {
      const [, , sequence, state, deliveryCount, properties, isInDoubt] = record as [number, number, number, KeptMessage["state"], number, unknown, boolean];
      const message = entity.messages.get(sequence);
      if (message !== undefined) Object.assign(message, { state, deliveryCount, properties: copied(properties), isInDoubt, isLocked: false });
      return;
    }
    case kind.lock: {
      const message = entity.messages.get(record[2] as number);
      if (message !== undefined) message.isLocked = true;
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
    case kind.seen: {
      const [, , messageId, atMs] = record as [number, number, string, number];
      // An id that is seen again is the youngest.
      entity.seen.delete(messageId);
      entity.seen.set(messageId, atMs);
      return;
    }
    case kind.sequence:
      entity.lastSequence = Math.max(entity.lastSequence, record[2] as number);
  }
}
