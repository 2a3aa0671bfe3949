import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { makeFolder } from "../../core/make-folder.ts";
import type { StoreMemory } from "../../ports/run-store.ts";

/**
 * Remembers stores in a file, each under a name. Where nothing can be written, as on a read-only disk, nothing is remembered
 * over a restart, and that is all.
 */
export function storeMemoryIn(file: string, name: string): StoreMemory {
  return {
    recall: () => readMarks(file).get(name),
    keep(mark) {
      const marks = readMarks(file).set(name, mark);
      const draft = `${file}.${process.pid}`;
      try {
        makeFolder(dirname(file));
        writeFileSync(draft, `${JSON.stringify(Object.fromEntries(marks), undefined, 2)}\n`);
        renameSync(draft, file);
      } catch {
        // It serves a warning, and keeps nobody from working.
      }
    },
  };
}

function readMarks(file: string): Map<string, string> {
  try {
    const marks: unknown = JSON.parse(readFileSync(file, "utf8"));
    const entries = typeof marks === "object" && marks !== null ? Object.entries(marks) : [];
    return new Map(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
  } catch {
    return new Map();
  }
}
