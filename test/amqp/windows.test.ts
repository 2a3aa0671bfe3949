// Windows and credit against a model that counts without wrapping, on both sides of the wrap.
import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { serialAdd } from "#runtime/amqp/codec/serial.ts";
import { Flow } from "#runtime/amqp/frame/transfers.ts";
import { Windows } from "#runtime/amqp/session/windows.ts";

const near = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0xffff_ff00, max: 0xffff_ffff }), fc.constant(0));
const begin = (nextOutgoingId: number, incomingWindow: number) => ({
  remoteChannel: 0,
  nextOutgoingId,
  incomingWindow,
  outgoingWindow: 10,
  handleMax: 0,
  offeredCapabilities: [],
  desiredCapabilities: [],
  properties: undefined,
});

function flowOf(nextIncomingId: number, incomingWindow: number): Flow {
  return Object.assign(new Flow(), { nextIncomingId, incomingWindow, nextOutgoingId: 0, outgoingWindow: 0 });
}

describe("the outgoing window", () => {
  test("is what the peer told last, less what it had not seen when it told", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), frames: fc.nat(300) }),
      fc.record({ kind: fc.constant("flow" as const), behind: fc.nat(400), window: fc.oneof(fc.nat(500), fc.constant(0x7fff_ffff), fc.constant(0xffff_ffff)) }),
    );
    fc.assert(
      fc.property(near, fc.nat(1_000), fc.array(step, { maxLength: 60 }), (initial, window, steps) => {
        const windows = new Windows(initial, 100);
        windows.onBegin(begin(0, window));
        let sent = 0;
        let end = window;
        for (const step of steps) {
          if (step.kind === "send") {
            for (let left = step.frames; left > 0 && windows.framesLeft > 0; left--) {
              windows.countOutgoing();
              sent++;
            }
          } else {
            const seen = Math.max(0, sent - step.behind);
            windows.onFlow(flowOf(serialAdd(initial, seen), step.window));
            end = seen + Math.min(step.window, 0x7fff_ffff);
          }
          assert.equal(windows.framesLeft, Math.max(0, end - sent));
        }
        assert.equal(windows.tell().nextOutgoingId, serialAdd(initial, sent));
      }),
      { numRuns: 500 },
    );
  });

  test("counts from our first id while the peer has not heard it", () => {
    const windows = new Windows(0xffff_fffe, 100);
    windows.onBegin(begin(0, 5));
    for (let i = 0; i < 5; i++) windows.countOutgoing();
    assert.equal(windows.framesLeft, 0);
    windows.onFlow(flowOf(-1, 7));
    assert.equal(windows.framesLeft, 2);
  });
});

describe("the incoming window", () => {
  test("is told again when half of it is used, and is not to be overstepped", () => {
    fc.assert(
      fc.property(near, fc.integer({ min: 1, max: 200 }), fc.array(fc.boolean(), { maxLength: 400 }), (first, size, tells) => {
        const windows = new Windows(0, size);
        windows.onBegin(begin(first, 1));
        let come = 0;
        let left = size;
        for (const tell of tells) {
          if (left === 0) {
            assert.throws(
              () => windows.countIncoming(),
              (error) => error instanceof ProtocolError && error.code === conditions.windowViolation && error.scope === "session",
            );
            return;
          }
          const isDue = windows.countIncoming();
          come++;
          left--;
          assert.equal(isDue, left <= Math.floor(size / 2));
          if (!tell) continue;
          const told = windows.tell();
          assert.deepEqual([told.nextIncomingId, told.incomingWindow], [serialAdd(first, come), size]);
          left = size;
        }
      }),
      { numRuns: 300 },
    );
  });

  test("opens as far as it may each time, and takes nothing back that was granted", () => {
    const step = fc.record({ frames: fc.nat(20), framesMax: fc.oneof(fc.nat(60), fc.constant(Number.POSITIVE_INFINITY)) });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.nat(50), fc.array(step, { maxLength: 40 }), (size, first, steps) => {
        const windows = new Windows(0, size, Math.min(size, first));
        windows.onBegin(begin(0, 1));
        let left = Math.min(size, first);
        for (const { frames, framesMax } of steps) {
          for (let count = 0; count < frames && left > 0; count++, left--) windows.countIncoming();
          const allowed = Math.min(size, framesMax);
          assert.equal(windows.wouldOpen(framesMax), allowed > left);
          left = Math.max(left, allowed);
          assert.equal(windows.tell(framesMax).incomingWindow, left);
          assert.equal(windows.isLow, left === 0, "expected what is left after telling to be low only when nothing is");
        }
      }),
      { numRuns: 300 },
    );
  });

  test("is told without a next id before the peer's begin", () => {
    assert.equal(new Windows(5, 10).tell().nextIncomingId, -1);
  });
});
