// Each kind of network trouble, through the proxy to a plain TCP echo: does it do what it says?
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { FaultProxy } from "#load/faults/proxy.ts";
import { eventually, within } from "../support/eventually.ts";
import { seededRandom } from "#runtime/testing/world/seeded-random.ts";

/** What a machine that is not alone may add to a time. */
const slackMs = 60;
const triesMax = 8;

/** A busy machine makes anything late: that it is in time is shown by one of several tries, that it is not too early by each. */
async function inOneOfSomeTries(act: () => Promise<void>): Promise<void> {
  for (let left = triesMax - 1; ; left -= 1) {
    try {
      await act();
      return;
    } catch (error) {
      if (left === 0 || !(error instanceof Late)) throw error;
    }
  }
}

class Late extends Error {
  override readonly name = "Late";
}

function assertInTime(isSo: boolean, message: string): void {
  if (!isSo) throw new Late(message);
}

interface Caller {
  readonly socket: Socket;
  /** Bytes that have come back, and when the first and the last of them came. */
  received(): Buffer;
  readonly pieces: { readonly bytes: number; readonly atMs: number }[];
  /** How it was closed: nothing yet, by an end, or by an error's code. */
  closed(): string | undefined;
}

describe("the fault proxy", () => {
  let echo: Server;
  let proxy: FaultProxy;
  const callers: Caller[] = [];
  let heard = 0;
  let atServer: Socket[] = [];

  before(async () => {
    echo = createServer({ noDelay: true }, (socket) => {
      atServer.push(socket);
      socket.on("error", () => undefined);
      socket.on("data", (bytes: Buffer) => {
        heard += bytes.length;
        socket.write(bytes);
      });
    });
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
  });
  after(() => new Promise((resolve) => echo.close(resolve)));

  beforeEach(async () => {
    heard = 0;
    atServer = [];
    proxy = await FaultProxy.start({ targetPort: (echo.address() as AddressInfo).port, random: seededRandom(11) });
  });
  afterEach(async () => {
    for (const { socket } of callers.splice(0)) socket.destroy();
    await proxy.stop();
    await eventually("the connections to be gone", () => atServer.every(({ destroyed }) => destroyed));
  });

  async function call(isExpected = true): Promise<Caller> {
    const socket = connect({ port: proxy.port, host: "127.0.0.1", noDelay: true });
    const chunks: Buffer[] = [];
    let how: string | undefined;
    const caller: Caller = { socket, pieces: [], received: () => Buffer.concat(chunks), closed: () => how };
    socket.on("data", (bytes: Buffer) => {
      chunks.push(bytes);
      caller.pieces.push({ bytes: bytes.length, atMs: performance.now() });
    });
    socket.on("error", (error: NodeJS.ErrnoException) => (how = error.code));
    socket.on("close", () => (how ??= "closed"));
    callers.push(caller);
    if (isExpected) await within("a connection", once(socket, "connect"));
    return caller;
  }

  /** Sends so many bytes and waits until they are back; how long that took. */
  async function roundTripMs(caller: Caller, bytes = 5): Promise<number> {
    const sent = Buffer.alloc(bytes, "abcdefghij");
    const before = caller.received().length;
    const startMs = performance.now();
    caller.socket.write(sent);
    await eventually(`${bytes} bytes to come back`, () => caller.received().length >= before + bytes);
    assert.deepEqual(caller.received().subarray(before), sent);
    return caller.pieces.at(-1)!.atMs - startMs;
  }

  function assertAbout(foundMs: number, expectedMs: number): void {
    assert.ok(foundMs >= expectedMs - 2, `expected ${expectedMs} ms at least, found ${foundMs}`);
    assertInTime(foundMs <= expectedMs + slackMs, `expected about ${expectedMs} ms, found ${foundMs}`);
  }

  /** A round trip takes about so long. */
  function assertTrip(caller: Caller, expectedMs: number, bytes?: number): Promise<void> {
    return inOneOfSomeTries(async () => assertAbout(await roundTripMs(caller, bytes), expectedMs));
  }

  test("passes everything on, both ways and to the end, when nothing is wrong", async () => {
    const caller = await call();
    await assertTrip(caller, 0, 300_000);
    caller.socket.end();
    await eventually("the end to arrive", () => caller.closed() === "closed");
    await eventually("the proxy to forget it", () => proxy.connections === 0);
  });

  test("latency makes things late, in the direction that is asked for, and only while it lasts", async () => {
    const caller = await call();
    const both = await proxy.add({ kind: "latency", latencyMs: 60 });
    await assertTrip(caller, 120);
    await proxy.remove(both);
    await proxy.add({ kind: "latency", latencyMs: 80, direction: "to-client" });
    await inOneOfSomeTries(async () => {
      const before = heard;
      const startMs = performance.now();
      const trip = roundTripMs(caller);
      await eventually("the server to hear of it", () => heard > before);
      const thereMs = performance.now() - startMs;
      assertAbout(await trip, 80);
      assertInTime(thereMs < 60, "expected the way there to be short");
    });
    await proxy.clear();
    await assertTrip(caller, 0);
  });

  test("jitter varies the latency within its bounds, and keeps the order", async () => {
    const caller = await call();
    await proxy.add({ kind: "latency", latencyMs: 40, jitterMs: 30, direction: "to-server" });
    const trips: number[] = [];
    for (let trip = 0; trip < 12; trip += 1) trips.push(await roundTripMs(caller));
    for (const tripMs of trips) assert.ok(tripMs >= 9, `expected 10 ms at least, found ${tripMs}`);
    assert.ok(Math.min(...trips) < 70 + slackMs, `expected 70 ms at most, found ${trips.join()}`);
    assert.ok(Math.max(...trips) - Math.min(...trips) > 15, `expected them to vary, found ${trips.join()}`);
    const before = caller.received().length;
    for (let piece = 0; piece < 10; piece += 1) {
      caller.socket.write(String(piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually("all to come back", () => caller.received().length === before + 10);
    assert.equal(caller.received().subarray(before).toString(), "0123456789");
  });

  test("down cuts every connection and refuses new ones until it is over, on the same port", async () => {
    const caller = await call();
    await roundTripMs(caller);
    const { port } = proxy;
    const id = await proxy.add({ kind: "down" });
    await eventually("the connection to be cut", () => caller.closed() !== undefined);
    const refused = await call(false);
    await eventually("a refusal", () => refused.closed() === "ECONNREFUSED");
    await proxy.remove(id);
    assert.equal(proxy.port, port);
    await roundTripMs(await call());
  });

  test("refused lets the connections there are go on", async () => {
    const caller = await call();
    const id = await proxy.add({ kind: "refused" });
    await roundTripMs(caller);
    const refused = await call(false);
    await eventually("a refusal", () => refused.closed() === "ECONNREFUSED");
    await proxy.remove(id);
    await roundTripMs(await call());
    await roundTripMs(caller);
  });

  test("bandwidth lets through so many bytes a second", async () => {
    const caller = await call();
    await proxy.add({ kind: "bandwidth", bytesPerSecond: 100_000, direction: "to-client" });
    await inOneOfSomeTries(async () => {
      const before = caller.pieces.length;
      assertAbout(await roundTripMs(caller, 30_000), 295);
      assertInTime(caller.pieces.length - before > 10, "expected it to come bit by bit");
    });
  });

  test("slow close passes on what was sent at once, and the end later", async () => {
    await proxy.add({ kind: "slow-close", delayMs: 120 });
    await inOneOfSomeTries(async () => {
      const caller = await call();
      await roundTripMs(caller);
      const ended = once(atServer.at(-1)!, "end");
      const startMs = performance.now();
      caller.socket.end();
      await within("the end", ended);
      assertAbout(performance.now() - startMs, 120);
    });
  });

  test("a black hole swallows without a word, and gives back when it ends", async () => {
    const caller = await call();
    const id = await proxy.add({ kind: "black-hole", direction: "to-client" });
    caller.socket.write("hello");
    await eventually("the server to hear of it", () => heard === 5);
    const other = await call();
    other.socket.write("there");
    await eventually("the server to hear of that, too", () => heard === 10);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([caller.received().length, caller.closed(), other.received().length], [0, undefined, 0]);
    await proxy.remove(id);
    await eventually("it to come", () => caller.received().toString() === "hello" && other.received().toString() === "there");
  });

  test("a black hole for good leaves the connections that it met silent, and new ones sound", async () => {
    const caller = await call();
    await roundTripMs(caller);
    const id = await proxy.add({ kind: "black-hole", forGood: true });
    await proxy.remove(id);
    caller.socket.write("lost");
    await roundTripMs(await call());
    assert.deepEqual([caller.received().length, caller.closed(), heard], [5, undefined, 10]);
  });

  test("reset resets connections, those that there are and new ones after their time", async () => {
    const caller = await call();
    await roundTripMs(caller);
    const id = await proxy.add({ kind: "reset" });
    await eventually("a reset", () => caller.closed() === "ECONNRESET");
    await proxy.remove(id);
    await proxy.add({ kind: "reset", afterMs: 80 });
    await inOneOfSomeTries(async () => {
      const startMs = performance.now();
      const later = await call();
      await eventually("a reset", () => later.closed() === "ECONNRESET");
      assertAbout(performance.now() - startMs, 80);
    });
  });

  test("reset resets nothing any more once it is over", async () => {
    const caller = await call();
    await roundTripMs(caller);
    const id = await proxy.add({ kind: "reset", afterMs: 50 });
    await proxy.remove(id);
    await proxy.add({ kind: "latency", latencyMs: 40 });
    assert.ok((await roundTripMs(caller)) > 50, "expected to look after its time");
    assert.equal(caller.closed(), undefined);
  });

  test("slicing makes many small pieces of one, with a pause between", async () => {
    const caller = await call();
    await proxy.add({ kind: "slicing", bytes: 10, delayMs: 10, direction: "to-client" });
    await inOneOfSomeTries(async () => {
      const before = caller.pieces.length;
      assertAbout(await roundTripMs(caller, 100), 90);
      const pieces = caller.pieces.slice(before);
      for (const { bytes } of pieces) assert.equal(bytes % 10, 0);
      assertInTime(pieces.length >= 5, `expected about ten pieces, found ${pieces.length}`);
    });
  });

  test("limited data closes a connection once so much has passed, and not a byte more", async () => {
    await proxy.add({ kind: "limited-data", bytes: 1_000, direction: "to-client" });
    const caller = await call();
    caller.socket.write(Buffer.alloc(5_000, "x"));
    await eventually("the end", () => caller.closed() !== undefined);
    assert.equal(caller.received().length, 1_000);
    const other = await call();
    await roundTripMs(other, 900);
    assert.equal(other.closed(), undefined);
  });

  test("a share of the connections is hurt, the same ones from the same seed", async () => {
    const hurtOf = async (seed: number): Promise<readonly boolean[]> => {
      const drawn = await FaultProxy.start({ targetPort: (echo.address() as AddressInfo).port, random: seededRandom(seed) });
      const sockets: Socket[] = [];
      try {
        await drawn.add({ kind: "limited-data", bytes: 1, share: 0.5, direction: "to-client" });
        const hurt: boolean[] = [];
        for (let index = 0; index < 12; index += 1) {
          const socket = connect({ port: drawn.port, host: "127.0.0.1" });
          sockets.push(socket);
          socket.write("ab");
          const [bytes] = (await once(socket, "data")) as [Buffer];
          hurt.push(bytes.length === 1);
        }
        return hurt;
      } finally {
        for (const socket of sockets) socket.destroy();
        await drawn.stop();
      }
    };
    const hurt = await hurtOf(5);
    assert.deepEqual(await hurtOf(5), hurt);
    assert.ok(hurt.includes(true) && hurt.includes(false), hurt.join());
  });

  test("troubles add up, and connections go to another server when the proxy is turned there", async () => {
    const caller = await call();
    await proxy.add({ kind: "latency", latencyMs: 30 });
    await proxy.add({ kind: "latency", latencyMs: 20, direction: "to-client" });
    await assertTrip(caller, 80);
    await proxy.clear();
    const other = createServer((socket) => socket.on("error", () => undefined).end("other"));
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    proxy.retarget((other.address() as AddressInfo).port);
    await eventually("the old connection to be cut", () => caller.closed() !== undefined);
    const turned = await call();
    await eventually("the other server to answer", () => turned.received().toString() === "other");
    await new Promise((resolve) => other.close(resolve));
  });
});
