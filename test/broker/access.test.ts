// How long tokens are watched: their end ends the links that nothing else covers, and a connection that is gone leaves nothing behind.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { Access } from "#load/broker/protocol/access.ts";
import { OpenLinks } from "#load/broker/protocol/open-links.ts";
import type { WireConnection } from "#load/broker/protocol/wire.ts";
import { signToken, TokenVerifier } from "#load/broker/security/tokens.ts";
import { ManualClock } from "../support/manual-clock.ts";

const key = { name: "root", key: "secret" };
const minuteMs = 60_000;

interface Bench {
  readonly clock: ManualClock;
  readonly access: Access;
  readonly connection: WireConnection;
  /** Links that were closed, in order. */
  readonly ended: string[];
  /** A token for an entity, and a link there. */
  readonly use: (path: string, minutes: number) => void;
}

function start(): Bench {
  const clock = new ManualClock();
  const links = new OpenLinks();
  const access = new Access(new TokenVerifier([key], () => clock.now()), links, clock);
  const connection: WireConnection = { name: "c", host: "localhost", close: () => {}, cut: () => {} };
  const ended: string[] = [];
  return {
    clock,
    access,
    connection,
    ended,
    use(path, minutes) {
      const audience = `sb://localhost/${path}`;
      const token = signToken(audience, key, clock.now() + minutes * minuteMs);
      assert.equal(access.putToken(connection, token, "servicebus.windows.net:sastoken", audience).code, 202);
      const link = { name: path, path, role: "receiver" as const, connection, close: () => (links.remove(link), void ended.push(path)) };
      links.add(link);
    },
  };
}

test("ends each link with its own token", () => {
  const { clock, ended, use } = start();
  use("late", 30);
  use("soon", 10);
  clock.advance(10 * minuteMs + 1_000);
  assert.deepEqual(ended, ["soon"]);
  clock.advance(20 * minuteMs);
  assert.deepEqual(ended, ["soon", "late"]);
  assert.equal(clock.pending, 0);
});

test("keeps a link whose token was replaced", () => {
  const { clock, ended, use } = start();
  use("orders", 10);
  use("orders", 60);
  clock.advance(30 * minuteMs);
  assert.deepEqual(ended, []);
});

test("waits for the tokens of a connection with one timer, and for none once it is gone", () => {
  const { clock, access, connection, use } = start();
  for (let minutes = 60; minutes > 0; minutes -= 1) use(`queue-${minutes % 7}`, minutes);
  assert.equal(clock.pending, 1);
  access.closed(connection);
  assert.equal(clock.pending, 0);
});
