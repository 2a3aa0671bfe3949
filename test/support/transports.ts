// Everything that is promised of the worker is promised on either transport.
import { test, type TestContext } from "node:test";
import type { TransportKind } from "#runtime/core/config.ts";
import { isLong } from "./long.ts";

const kinds: readonly TransportKind[] = ["amqp", "sdk"];

/** Registers a test for each transport. */
export function testOnEach(name: string, body: (t: TestContext, transport: TransportKind) => Promise<void>): void {
  for (const kind of kinds) test(`${kind}: ${name}`, (t) => body(t, kind));
}

/** Registers a test that takes long for each transport: `npm test` runs it on our own, `npm run test:drills` on either. */
export function drillOnEach(name: string, body: (t: TestContext, transport: TransportKind) => Promise<void>): void {
  for (const kind of kinds) if (isLong || kind === "amqp") test(`${kind}: ${name}`, (t) => body(t, kind));
}
