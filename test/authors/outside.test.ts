// What a skill does without a dependency, while a run is gone through again. It holds for the whole process, which this file has for itself.
import { strict as assert } from "node:assert";
import { execFile, execFileSync, execSync, fork, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { lookup, promises as names, resolve4, Resolver } from "node:dns";
import { appendFileSync, createWriteStream, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFile } from "node:fs";
import { open, readFile, unlink, writeFile as writeLater } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { closeOutside } from "#runtime/testing/outside.ts";

const file = join(import.meta.dirname, "written-by-a-skill.txt");
// This file itself may lie below the temporary folder of the system.
process.env["TMPDIR"] = join(import.meta.dirname, "../../node_modules/.cache/holdfast-outside");
mkdirSync(tmpdir(), { recursive: true });
const changed = /^a change of the file '.*written-by-a-skill\.txt'$/;
const address = "http://127.0.0.1:59999/";

/** What a callback is told. */
const told = (ask: (done: (error: Error | null) => void) => void): Promise<void> =>
  new Promise((resolve, reject) => {
    ask((error) => (error === null ? resolve() : reject(error)));
  });

const kinds: readonly (readonly [kind: string, reach: () => unknown, refused: RegExp])[] = [
  ["fetch", () => fetch(address), /^a connection to 127\.0\.0\.1:59999$/],
  [
    "net",
    () =>
      new Promise((_resolve, reject) => {
        connect(59_999, "127.0.0.1").once("error", reject);
      }),
    /^a connection to 127\.0\.0\.1:59999$/,
  ],
  [
    "dgram",
    () => {
      const socket = createSocket("udp4");
      try {
        socket.send("x", 59_999, "127.0.0.1");
      } finally {
        socket.close();
      }
    },
    /^a datagram$/,
  ],
  ["spawn", () => spawn("true"), /^the start of 'true'$/],
  ["execFile", () => execFile("true"), /^the start of 'true'$/],
  ["fork", () => fork("none.js"), /^the start of /],
  ["spawnSync", () => spawnSync("true"), /^the start of 'true'$/],
  ["execFileSync", () => execFileSync("true"), /^the start of 'true'$/],
  ["execSync", () => execSync("true"), /^the start of 'true'$/],
  ["dns.lookup", () => told((done) => lookup("example.com", done)), /^a look-up of 'example\.com'$/],
  ["dns.resolve4", () => told((done) => resolve4("example.com", done)), /^a look-up of 'example\.com'$/],
  ["dns.promises", () => names.resolveTxt("example.com"), /^a look-up of 'example\.com'$/],
  ["dns.Resolver", () => told((done) => new Resolver().resolveMx("example.com", done)), /^a look-up of 'example\.com'$/],
  ["dns.promises.Resolver", () => new names.Resolver().reverse("192.0.2.1"), /^a look-up of '192\.0\.2\.1'$/],
  ["process.kill", () => process.kill(process.ppid, "SIGUSR2"), /^a signal to process \d+$/],
  ["process.binding", () => (process as unknown as { readonly binding: (name: string) => unknown }).binding("tcp_wrap"), /^process\.binding\('tcp_wrap'\)$/],
  ["appendFileSync", () => appendFileSync(file, "x"), changed],
  ["writeFile", () => told((done) => writeFile(file, "x", done)), changed],
  ["fs/promises writeFile", () => writeLater(file, "x"), changed],
  ["fs/promises open", () => open(file, "r+"), changed],
  [
    "a write stream",
    () =>
      new Promise((resolve, reject) =>
        createWriteStream(file)
          .once("error", reject)
          .once("close", () => resolve(undefined)),
      ),
    changed,
  ],
  ["renameSync out of a temporary folder", () => renameSync(join(tmpdir(), "none"), file), changed],
  ["unlink", () => unlink(import.meta.filename), /^a change of the file '.*outside\.test\.ts'$/],
  ["node:sqlite", async () => new (await import("node:sqlite")).DatabaseSync(file), changed],
  ["node:sqlite's copies", async () => (await import("node:sqlite")).backup(new DatabaseSync(":memory:"), file), changed],
  ["Worker", () => new Worker("0", { eval: true }), /^a thread of '0'$/],
];

test("each way to the outside is refused before it leaves, by what it would have asked", async (t) => {
  const { refused } = closeOutside();
  for (const [index, [kind, reach, what]] of kinds.entries())
    await t.test(kind, async () => {
      await assert.rejects(async () => await reach());
      assert.equal(refused.length, index + 1);
      assert.match(refused[index] ?? "", what);
      assert.ok(!existsSync(file));
    });
});

test("what only reads, or changes temporary files, goes on, and so does what asks after a process", async () => {
  const { refused } = closeOutside();
  const before = refused.length;
  const folder = mkdtempSync(join(tmpdir(), "holdfast-outside-"));
  await writeLater(join(folder, "a"), "1");
  await new Promise((resolve) => createWriteStream(join(folder, "b")).end("2", () => resolve(undefined)));
  assert.equal(readFileSync(join(folder, "a"), "utf8") + (await readFile(join(folder, "b"), "utf8")), "12");
  assert.match(await readFile(import.meta.filename, "utf8"), /outside/);
  await (await open(import.meta.filename)).close();
  const { DatabaseSync: Database } = await import("node:sqlite");
  new Database(":memory:").close();
  new Database(join(folder, "runs.sqlite")).close();
  assert.equal(process.kill(process.ppid, 0), true);
  rmSync(folder, { recursive: true });
  assert.equal(refused.length, before);
});

test("native code is refused and told apart, and let in where that is allowed", () => {
  const load = (): void => process.dlopen({ exports: {} }, "/nowhere/addon.node");
  const closed = closeOutside();
  assert.throws(load, /native code of '\/nowhere\/addon\.node' was refused: nobody could hold back what it does; let it in with --native/);
  assert.deepEqual([closed.refused, closed.native], [[], ["/nowhere/addon.node"]]);
});
