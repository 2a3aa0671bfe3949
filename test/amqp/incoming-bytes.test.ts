// A session whose owner says how many bytes may be on their way: the peer is held to it, whatever the sizes of its messages.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { Delivery } from "#runtime/amqp/link/receiver.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { Session } from "#runtime/amqp/session/session.ts";
import { eventually } from "../support/eventually.ts";
import { type Pair, attachedReceiver, startPair } from "./support/loopback.ts";

const frameBytesMax = 512;

function bytesOfMessage(size: number): Buffer {
  return encodeMessage({ body: { data: Buffer.alloc(size) } });
}

interface Source {
  readonly pair: Pair;
  readonly client: Session;
  /** The other end of it. */
  readonly peer: Session;
}

/** A server that sends messages of these sizes, as fast as it may. */
async function startSource(sizes: readonly number[], room: (arrivingBytes: number) => number, got: Delivery[]): Promise<Source> {
  const left = sizes.map(bytesOfMessage);
  const pump = (sender: Sender): void => {
    for (let next = left[0]; next !== undefined && sender.send(next, undefined) !== undefined; next = left[0]) left.shift();
  };
  const sessions: Session[] = [];
  const pair = await startPair({
    client: { limits: { frameBytesMax } },
    serverEvents: {
      onSession: (session) => {
        sessions.push(session);
        return { onAttach: (request) => void request.acceptAsSender({}, { onSendable: pump }) };
      },
    },
  });
  const client = pair.client.begin({}, { incomingBytes: room });
  const receiver = await attachedReceiver(client, { name: "r", source: { address: "q" } }, { onDelivery: (delivery) => void got.push(delivery) });
  receiver.addCredit(sizes.length);
  return { pair, client, peer: sessions[0]! };
}

describe("the incoming window in bytes", () => {
  test("stops a peer that has credit for more messages than there is room for, until there is room again", async () => {
    const roomBytes = 10 * frameBytesMax;
    const held: Delivery[] = [];
    const bytesOfHeld = (): number => held.reduce((sum, { message }) => sum + message.bytes.length, 0);
    const source = await startSource(Array<number>(100).fill(1_000), () => roomBytes - bytesOfHeld(), held);
    await using pair = source.pair;
    assert.equal(pair.server.state.at, "open");
    for (let served = 0; served < 100;) {
      await eventually("the peer to have used its window", () => held.length > 0 && (source.peer.framesLeft === 0 || served + held.length === 100));
      assert.ok(bytesOfHeld() <= roomBytes, `expected at most ${roomBytes} bytes, found ${bytesOfHeld()}`);
      served += held.splice(0).length;
      source.client.widen();
    }
  });

  test("lets a message come frame by frame that is larger than the room, where it is let", async () => {
    const asked: number[] = [];
    const got: Delivery[] = [];
    const room = (arrivingBytes: number): number => {
      asked.push(arrivingBytes);
      return arrivingBytes + frameBytesMax;
    };
    const source = await startSource([50_000], room, got);
    await using pair = source.pair;
    await eventually("the message", () => got.length === 1);
    assert.equal(pair.client.state.at, "open");
    assert.ok(asked.length >= 100, `expected to be asked for each of some hundred frames, was ${asked.length} times`);
    assert.ok(Math.max(...asked) > 49_000, `expected to be asked with all that had come but the last frame, was with ${Math.max(...asked)}`);
  });

  test("holds what has come within the room whatever the sizes, but for a message that is larger by itself", async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 6_000 }), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 5 }), async (sizes, frames, freesAt) => {
        const roomBytes = frames * frameBytesMax;
        const held: Delivery[] = [];
        const bytesOfHeld = (): number => held.reduce((sum, { message }) => sum + message.bytes.length, 0);
        const room = (arrivingBytes: number): number => Math.max(roomBytes - bytesOfHeld(), held.length === 0 ? arrivingBytes + frameBytesMax : 0);
        const source = await startSource(sizes, room, held);
        await using pair = source.pair;
        assert.equal(pair.server.state.at, "open");
        const mostBytes = Math.max(roomBytes, ...sizes.map((size) => bytesOfMessage(size).length)) + frameBytesMax;
        let served = 0;
        await eventually("all messages", () => {
          assert.ok(bytesOfHeld() <= mostBytes, `expected at most ${mostBytes} bytes, found ${bytesOfHeld()}`);
          if (held.length >= freesAt || source.peer.framesLeft === 0) served += held.splice(0).length;
          source.client.widen();
          return served + held.length === sizes.length;
        });
      }),
      { numRuns: 20 },
    );
  });
});
