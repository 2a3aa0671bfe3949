// The engine's client against a broker on Qpid Proton: the one in C that comes with the library. It sends what it has settled,
// and forgets it.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe } from "node:test";
import { within } from "../support/eventually.ts";
import { engineChecks, type EngineServer } from "./engine-checks.ts";
import { peerOf, protonExamples } from "./peers.ts";

const peer = await peerOf("protonPrograms");

describe(`${peer.title}, the broker, used by our engine`, { skip: peer.skip }, () => {
  let broker: ChildProcess;
  let port = 0;
  before(async () => {
    // Its certificate lies where it was written.
    broker = spawn(join(peer.folder, "broker"), ["127.0.0.1", "0"], { cwd: join(protonExamples, "c"), stdio: ["ignore", "pipe", "inherit"] });
    const [said] = (await within("the broker to listen", once(createInterface(broker.stdout!), "line"))) as [string];
    port = Number(/\d+$/.exec(said)?.[0]);
  });
  after(async () => {
    const exited = once(broker, "exit");
    broker.kill();
    await exited;
  });

  const server: EngineServer = {
    dialOptions: () => ({ host: "127.0.0.1", port, sasl: { mechanism: "ANONYMOUS" } }),
    ways: () => ({ "no SASL": { sasl: undefined }, "ANONYMOUS over TLS": { tls: { rejectUnauthorized: false } } }),
    wrongWays: () => ({
      "a mechanism that it does not have": { sasl: { mechanism: "MSSBCBS" } },
      "TLS that is not trusted": { tls: { servername: "localhost" } },
    }),
    addressOf: (queue) => queue,
    drains: false,
    redelivers: false,
  };
  engineChecks(server);
});
