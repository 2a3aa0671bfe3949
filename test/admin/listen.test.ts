import { strict as assert } from "node:assert";
import { test } from "node:test";
import fastify from "fastify";
import { listenAt } from "#runtime/admin/listen.ts";

const host = "127.0.0.1";

test("an address that is taken, or is none of this machine, is said with what to do", async (t) => {
  const [first, second] = [fastify(), fastify()];
  t.after(() => Promise.all([first.close(), second.close()]));
  const port = Number(new URL(await listenAt(first, { host, port: 0 }, "admin.host and admin.port")).port);
  const refused = (at: string, to: number, found: RegExp): Promise<void> =>
    assert.rejects(listenAt(second, { host: at, port: to }, "admin.host and admin.port"), {
      code: "HOLDFAST_ADDRESS",
      message: new RegExp(
        `^expected to listen at ${at}:${to}, found ${found.source}; name another address by admin.host and admin.port \\(port 0 takes a free one\\), or stop what has this one$`,
      ),
    });
  await refused(host, port, /somebody listening there, perhaps another worker/);
  await refused("203.0.113.1", port, /listen EADDRNOTAVAIL: address not available 203\.0\.113\.1:\d+/);
});
