// The board of a pool in the run store's file, asked by the store's own thread: its workers are those of this machine that use the file. In
// memory it is the worker's alone.
import type { DatabaseSync } from "node:sqlite";
import { notesMax, type Note, type PoolBoard } from "../../ports/pool-board.ts";

/** `ends_at_ms`: by the machine's clock. Workers of earlier versions leave the table alone. */
const table = `
  CREATE TABLE IF NOT EXISTS notes (
    consumer INTEGER NOT NULL,
    topic TEXT NOT NULL,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    ends_at_ms INTEGER NOT NULL,
    PRIMARY KEY (consumer, topic, name)
  ) STRICT, WITHOUT ROWID`;

export type BoardAsk =
  | { readonly ask: "put"; readonly topic: string; readonly name: string; readonly text: string; readonly keepMs: number }
  | { readonly ask: "list"; readonly topic: string }
  | { readonly ask: "take"; readonly topic: string; readonly name: string };

/** Where the notes lie: a run store on SQLite, in its thread or in ours. Answers what is listed, or taken. */
export interface BoardPlace {
  board(ask: BoardAsk): Promise<readonly Note[]>;
}

/** Changed under the write lock of the caller's transaction. */
export class NoteTable {
  readonly #database: DatabaseSync;
  readonly #consumer: number;

  constructor(database: DatabaseSync, consumer: number) {
    this.#database = database;
    this.#consumer = consumer;
    database.exec(table);
  }

  answer(ask: BoardAsk, nowMs: number): readonly Note[] {
    switch (ask.ask) {
      case "put":
        this.#put(ask, nowMs);
        return [];
      case "list":
        return this.#rows("SELECT name, text FROM notes WHERE consumer = ? AND topic = ? AND ends_at_ms > ? ORDER BY name", ask.topic, nowMs);
      case "take": {
        const taken = this.#rows("SELECT name, text FROM notes WHERE consumer = ? AND topic = ? AND ends_at_ms > ? AND name = ?", ask.topic, nowMs, ask.name);
        this.#database.prepare("DELETE FROM notes WHERE consumer = ? AND topic = ? AND name = ?").run(this.#consumer, ask.topic, ask.name);
        return taken;
      }
    }
  }

  #put({ topic, name, text, keepMs }: Extract<BoardAsk, { ask: "put" }>, nowMs: number): void {
    const endsAtMs = nowMs + Math.round(keepMs);
    this.#database
      .prepare(
        "INSERT INTO notes (consumer, topic, name, text, ends_at_ms) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET text = excluded.text, ends_at_ms = excluded.ends_at_ms",
      )
      .run(this.#consumer, topic, name, text, endsAtMs);
    this.#database.prepare("DELETE FROM notes WHERE consumer = ? AND ends_at_ms <= ?").run(this.#consumer, nowMs);
    this.#database
      .prepare(
        `DELETE FROM notes WHERE consumer = ?1 AND topic = ?2 AND name IN
           (SELECT name FROM notes WHERE consumer = ?1 AND topic = ?2 ORDER BY ends_at_ms DESC LIMIT -1 OFFSET ${notesMax})`,
      )
      .run(this.#consumer, topic);
  }

  #rows(sql: string, ...values: readonly (string | number)[]): readonly Note[] {
    return this.#database.prepare(sql).all(this.#consumer, ...values) as unknown as readonly Note[];
  }
}

class SqliteBoard implements PoolBoard {
  readonly #place: BoardPlace;

  constructor(place: BoardPlace) {
    this.#place = place;
  }

  async put(topic: string, name: string, text: string, keepMs: number): Promise<void> {
    await this.#place.board({ ask: "put", topic, name, text, keepMs });
  }

  list(topic: string): Promise<readonly Note[]> {
    return this.#place.board({ ask: "list", topic });
  }

  async take(topic: string, name: string): Promise<string | undefined> {
    const [taken] = await this.#place.board({ ask: "take", topic, name });
    return taken?.text;
  }

  /** The store is stopped by whoever made it. */
  async stop(): Promise<void> {}
}

export function createSqliteBoard(place: BoardPlace): PoolBoard {
  return new SqliteBoard(place);
}
