// What the image is built on is the same thing each time: named by version and digest, never by a tag alone.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { tooOldNode } from "#runtime/core/node-version.ts";

const root = resolve(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(root, "deploy/Dockerfile"), "utf8");

test("the image's base is named by version and digest, and its Node is one that the worker runs on", () => {
  const base = /^ARG BASE=(?<image>.*)$/m.exec(dockerfile)?.groups?.["image"] ?? "";
  const pinned = /^node:(?<version>\d+\.\d+\.\d+)-slim@sha256:[0-9a-f]{64}$/.exec(base);
  assert.ok(pinned, `expected a base like node:24.21.0-slim@sha256:<64 hexadecimal digits>, found '${base}'; deploy/IMAGE.md says where the digest is found`);
  assert.equal(tooOldNode(pinned.groups?.["version"] ?? ""), undefined);
});

test("each stage of the image is built on that base, or on a stage before it", () => {
  const stages = [...dockerfile.matchAll(/^FROM (?<from>\S+)(?: AS (?<name>\S+))?$/gm)].map(({ groups }) => groups ?? {});
  const wrong = stages.filter(({ from }, place) => from !== "${BASE}" && !stages.slice(0, place).some(({ name }) => name === from));
  assert.deepEqual(wrong, []);
  assert.equal(stages.length, [...dockerfile.matchAll(/^\s*FROM\b/gim)].length);
});
