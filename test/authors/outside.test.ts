// What a skill does without a dependency, while a run is gone through again. It holds for the whole process, which this file has for itself.
import { strict as assert } from "node:assert";
import { execFile, execFileSync, execSync, fork, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { closeOutside } from "#runtime/testing/outside.ts";

const address = "http://127.0.0.1:59999/";

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
  ["Worker", () => new Worker("0", { eval: true }), /^a thread of '0'$/],
];

test("each way to the outside is refused before it leaves, by what it would have asked", async (t) => {
  const { refused } = closeOutside();
  for (const [index, [kind, reach, what]] of kinds.entries())
    await t.test(kind, async () => {
      await assert.rejects(async () => await reach());
      assert.equal(refused.length, index + 1);
      assert.match(refused[index] ?? "", what);
    });
});
