import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { lockFolder } from "#load/broker/journal/folder-lock.ts";
import { mergeEntities } from "#load/broker/journal/merge.ts";
import { RecordFile } from "#load/broker/journal/record-file.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-journal-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function fileOf(t: TestContext): string {
  return join(folderOf(t), "records");
}

/** Writes each list as one batch. Returns where each batch ends. */
function write(path: string, ...batches: readonly (readonly string[])[]): number[] {
  const file = new RecordFile(path);
  const ends = batches.map((records) => {
    for (const record of records) file.append(Buffer.from(record));
    file.flush(false);
    return statSync(path).size;
  });
  file.close();
  return ends;
}

function read(path: string): { records: string[]; tornBytes: number; damages: readonly { at: number; bytes: number }[] } {
  const file = new RecordFile(path);
  const records: string[] = [];
  const result = file.read((record) => records.push(record.toString()));
  file.close();
  return { records, ...result };
}

test("a batch that was cut off anywhere counts as never written, and what comes after it is read", (t) => {
  const path = fileOf(t);
  const ends = write(path, ["a", "b"], ["c", "longer than the others"]);
  const [first = 0, second = 0] = ends;
  const whole = `${path}.whole`;
  copyFileSync(path, whole);
  for (let size = first; size < second; size++) {
    copyFileSync(whole, path);
    truncateSync(path, size);
    const { records, tornBytes, damages } = read(path);
    assert.deepEqual([records, tornBytes, damages], [["a", "b"], size - first, []]);
    const file = new RecordFile(path);
    file.cut(tornBytes);
    file.append(Buffer.from("later"));
    file.flush(false);
    file.close();
    assert.deepEqual(read(path).records, ["a", "b", "later"]);
  }
});

test("damage at any byte before whole batches is told of, and costs its own batch alone", (t) => {
  const path = fileOf(t);
  const [first = 0, second = 0] = write(path, ["a"], ["b", "c"], ["d"]);
  const whole = readFileSync(path);
  for (let at = first; at < second; at++) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ 0xff;
    writeFileSync(path, damaged);
    const { records, damages, tornBytes } = read(path);
    assert.deepEqual([records, damages, tornBytes], [["a", "d"], [{ at: first, bytes: second - first }], 0], `byte ${at}`);
  }
});

test("files of others and of unknown versions are refused", (t) => {
  const path = fileOf(t);
  writeFileSync(path, "a file of somebody else's");
  assert.throws(() => read(path), /expected a file that a broker wrote, found something else; choose another folder/);
  write(`${path}.2`, ["a"]);
  const bytes = readFileSync(`${path}.2`);
  bytes.writeUInt32LE(7, 12);
  writeFileSync(path, bytes);
  assert.throws(() => read(path), /expected version 1 of the format, found 7; use the version of holdfast that wrote it/);
});

test("a write that the disk refuses half-way leaves the file as it was, and is made up for later", (t) => {
  const path = fileOf(t);
  let room = Infinity;
  const file = new RecordFile(path, false, (fd, bytes, from, length) => {
    if (room < length) {
      const taken = room;
      room = 0;
      if (taken === 0) throw new Error("ENOSPC: no space left on device, write");
      return writeSync(fd, bytes, from, taken);
    }
    return writeSync(fd, bytes, from, length);
  });
  file.append(Buffer.from("kept"));
  file.flush(false);
  file.append(Buffer.from("waits"));
  room = 5;
  assert.throws(() => file.flush(false), /ENOSPC/);
  assert.deepEqual(read(path), { records: ["kept"], tornBytes: 0, damages: [] });
  file.append(Buffer.from("waits, too"));
  room = Infinity;
  file.flush(true);
  file.close();
  assert.deepEqual(read(path).records, ["kept", "waits", "waits, too"]);
});

test("a folder is locked by one process; one that is gone is taken over from", async (t) => {
  const folder = folderOf(t);
  const path = join(folder, "broker.lock");
  const lock = lockFolder(folder);
  assert.equal(lock.tookOverFrom, undefined);
  assert.throws(() => lockFolder(folder), new RegExp(`found it in use by process ${process.pid}; stop it, or choose another folder`));
  const held = readFileSync(path, "utf8");
  lock.release();
  assert.equal(existsSync(path), false);

  const child = spawn(process.execPath, ["-e", ""], { stdio: "ignore" });
  const { pid = 0 } = child;
  await once(child, "exit");
  writeFileSync(path, JSON.stringify({ pid, host: hostname(), began: "" }));
  const second = lockFolder(folder);
  assert.equal(second.tookOverFrom, pid);
  second.release();

  // The same number, but not the same process: it began at another time.
  const own = JSON.parse(held) as { began: string };
  if (own.began !== "") {
    writeFileSync(path, held.replace(own.began, "another boot/1"));
    const third = lockFolder(folder);
    assert.equal(third.tookOverFrom, process.pid);
    third.release();
  }

  writeFileSync(path, JSON.stringify({ pid: 1, host: "elsewhere", began: "" }));
  assert.throws(() => lockFolder(folder), /found a lock by process 1 on elsewhere; stop it, or delete .*broker\.lock if it is gone/);
  writeFileSync(path, "{ half");
  lockFolder(folder).release();
});

test("entities are those of the last time, except where the configuration was changed since", () => {
  const given = {
    queues: [{ name: "same" }, { name: "edited", lockDurationMs: 1000 }, { name: "deleted" }, { name: "added" }],
    topics: [{ name: "news", subscriptions: [{ name: "Old" }, { name: "changed", deliveryCountMax: 3 }, { name: "fresh" }] }],
  };
  const before = {
    queues: [{ name: "same" }, { name: "edited" }, { name: "deleted" }, { name: "dropped" }],
    topics: [{ name: "news", subscriptions: [{ name: "Old" }, { name: "changed" }] }],
  };
  const entities = {
    queues: [{ name: "same", lockDurationMs: 7000 }, { name: "edited", lockDurationMs: 9000 }, { name: "dropped" }, { name: "made" }],
    topics: [{ name: "news", timeToLiveMs: 5, subscriptions: [{ name: "old", lockDurationMs: 7000 }, { name: "changed" }, { name: "own" }] }],
  };
  assert.deepEqual(mergeEntities(given, { given: before, entities }), {
    queues: [{ name: "same", lockDurationMs: 7000 }, { name: "edited", lockDurationMs: 1000 }, { name: "added" }, { name: "dropped" }, { name: "made" }],
    topics: [
      {
        name: "news",
        timeToLiveMs: 5,
        subscriptions: [{ name: "old", lockDurationMs: 7000 }, { name: "changed", deliveryCountMax: 3 }, { name: "fresh" }, { name: "own" }],
      },
    ],
  });
  assert.deepEqual(mergeEntities(given, undefined), given);
  const turned = mergeEntities({ queues: [{ name: "News" }], topics: [] }, { given: before, entities });
  assert.deepEqual([turned.queues.map(({ name }) => name), turned.topics], [["News", "same", "edited", "dropped", "made"], []]);
});
