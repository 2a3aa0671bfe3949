import { strict as assert } from "node:assert";
import { Duplex, PassThrough } from "node:stream";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { ProtocolError, conditions } from "#runtime/amqp/codec/errors.ts";
import { FrameReader, frameType, protocolHeader, protocolId } from "#runtime/amqp/frame/frames.ts";
import { Output } from "#runtime/amqp/frame/output.ts";

/** Reads one header, then frames, and keeps a line for each. */
function recorder(frameBytesMax = 70_000): { readonly lines: string[]; readonly reader: FrameReader } {
  const lines: string[] = [];
  const reader: FrameReader = new FrameReader(
    {
      onHeader(header) {
        lines.push(`header ${header.id} ${header.supported}`);
        reader.expect("frame");
      },
      onFrame(type, channel, bytes, start, end) {
        lines.push(`frame ${type} ${channel} ${bytes.toString("latin1", start, end)}`);
      },
    },
    frameBytesMax,
  );
  return { lines, reader };
}

function collected(output: Output): Buffer {
  const chunks: Buffer[] = [];
  const sink = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  output.flush(sink);
  return Buffer.concat(chunks);
}

const traffic = (): Buffer => {
  const output = new Output();
  output.raw(protocolHeader(protocolId.amqp));
  output.frame(frameType.amqp, 0, Buffer.alloc(0));
  output.frame(frameType.amqp, 1, Buffer.from("a"));
  output.frame(frameType.sasl, 0, Buffer.from("second"));
  output.frame(frameType.amqp, 0xfffe, Buffer.from("the third"));
  return collected(output);
};
const expected = ["header 0 true", "frame 0 0 ", "frame 0 1 a", "frame 1 0 second", "frame 0 65534 the third"];

describe("frames", () => {
  test("come out the same wherever the bytes are cut in two", () => {
    const bytes = traffic();
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { lines, reader } = recorder();
      reader.push(bytes.subarray(0, cut));
      reader.push(bytes.subarray(cut));
      assert.deepEqual(lines, expected, `cut at ${cut}`);
    }
  });

  test("come out the same in chunks of any sizes, down to single bytes", () => {
    const bytes = traffic();
    fc.assert(
      fc.property(fc.infiniteStream(fc.integer({ min: 1, max: 12 })), (sizes) => {
        const { lines, reader } = recorder();
        for (let at = 0; at < bytes.length;) {
          const size = sizes.next().value as number;
          reader.push(bytes.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(lines, expected);
      }),
    );
  });

  test("an extended header is stepped over", () => {
    const { lines, reader } = recorder();
    reader.push(Buffer.concat([protocolHeader(0), Buffer.from("0000000e030000aaffffffff6869", "hex")]));
    assert.deepEqual(lines, ["header 0 true", "frame 0 170 hi"]);
  });

  test("a whole frame is handed on where it lies, a cut one is copied once", () => {
    const buffers: Buffer[] = [];
    const reader = new FrameReader({ onHeader: () => reader.expect("frame"), onFrame: (_type, _channel, bytes) => buffers.push(bytes) }, 512);
    const bytes = traffic();
    reader.push(bytes);
    assert.ok(buffers.every((buffer) => buffer === bytes));
    buffers.length = 0;
    const frame = bytes.subarray(bytes.length - 17);
    reader.push(frame.subarray(0, 10));
    reader.push(frame.subarray(10));
    assert.equal(buffers.length, 1);
    assert.equal(buffers[0]!.length, 17);
  });

  test("the size is held to its bounds before anything is kept", () => {
    const sized = (size: number, doff = 2): Buffer => {
      const head = Buffer.from([0, 0, 0, 0, doff, 0, 0, 0]);
      head.writeUInt32BE(size);
      return head;
    };
    for (const head of [sized(7), sized(0), sized(513), sized(0xffff_ffff), sized(8, 1), sized(8, 3)]) {
      for (const cut of [8, 3]) {
        const { reader } = recorder(512);
        reader.push(protocolHeader(0));
        assert.throws(
          () => {
            reader.push(head.subarray(0, cut));
            reader.push(head.subarray(cut));
          },
          (error) => error instanceof ProtocolError && error.code === conditions.framingError,
        );
      }
    }
  });

  test("a header that is not AMQP 1.0.0 is told apart", () => {
    for (const [header, line] of [
      ["AMQP\u0000\u0000\u0009\u0001", "header 0 false"],
      ["HTTP/1.1", "header 47 false"],
      ["AMQP\u0003\u0001\u0000\u0000", "header 3 true"],
      ["AMQP\u0000\u0001\u0001\u0000", "header 0 false"],
    ] as const) {
      const { lines, reader } = recorder();
      reader.push(Buffer.from(header, "latin1"));
      assert.deepEqual(lines, [line]);
    }
  });

  test("after `nothing` the rest is dropped", () => {
    const { lines, reader } = recorder();
    reader.push(protocolHeader(0));
    reader.expect("nothing");
    reader.push(traffic());
    assert.deepEqual(lines, ["header 0 true"]);
  });

  test("after `nothing` a frame that had begun is dropped too", () => {
    const { lines, reader } = recorder();
    const bytes = traffic();
    reader.push(bytes.subarray(0, 20));
    reader.expect("nothing");
    reader.push(bytes.subarray(20));
    assert.deepEqual(lines, ["header 0 true", "frame 0 0 "]);
  });
});

describe("output", () => {
  test("frames of every size come back whole, copied or referred to", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 60_000 }), { maxLength: 12 }), (sizes) => {
        const output = new Output();
        output.raw(protocolHeader(0));
        const bodies = sizes.map((size, index) => Buffer.alloc(size, 97 + (index % 26)));
        for (const body of bodies) output.frame(0, 3, body);
        const { lines, reader } = recorder();
        reader.push(collected(output));
        assert.ok(lines.slice(1).join() === bodies.map((body) => `frame 0 3 ${body.toString("latin1")}`).join());
        assert.ok(output.isEmpty);
      }),
      { numRuns: 30 },
    );
  });

  test("a tick's frames are one write, and what was written is not written to again", () => {
    const writes: Buffer[] = [];
    const stream = new PassThrough();
    stream.write = ((chunk: Buffer) => writes.push(chunk) > 0) as typeof stream.write;
    const output = new Output();
    output.frame(0, 0, Buffer.from("first"));
    output.frame(0, 0, Buffer.from("second"));
    output.flush(stream);
    assert.equal(writes.length, 1);
    const before = Buffer.from(writes[0]!);
    output.frame(0, 0, Buffer.from("third"));
    output.flush(stream);
    assert.deepEqual(writes[0], before);
    output.flush(stream);
    assert.equal(writes.length, 2);
  });

  test("a performative longer than the slab's rest survives the move", () => {
    const output = new Output();
    output.raw(protocolHeader(0));
    output.frame(0, 1, Buffer.alloc(4_000, "a"));
    output.beginFrame(0, 2);
    for (let i = 0; i < 200; i++) output.string("x".repeat(1_000));
    output.endFrame(0);
    const { lines, reader } = recorder(300_000);
    reader.push(collected(output));
    assert.deepEqual(
      lines.map((line) => line.length),
      [13, 4_010, 200 * 1_005 + 10],
    );
  });
});
