// Writes the frames that make up nearly all traffic straight into the output: transfers, dispositions and flows.
import { Writer } from "../codec/writer.ts";
import type { WireError } from "../protocol/wire.ts";
import type { OutputBuffer } from "./output-buffer.ts";

/** Bytes of a transfer frame before its payload, at most: header, performative, a tag of 32 bytes. */
export const transferHeadMax = 80;

export interface TransferHead {
  readonly channel: number;
  readonly handle: number;
  readonly deliveryId: number;
  readonly tag: Buffer;
  readonly settled: boolean;
}

/** Writes one transfer frame with a slice of the message, which is `first` followed by `second`. */
export function writeTransfer(output: OutputBuffer, head: TransferHead, first: Buffer, second: Buffer, from: number, to: number): void {
  const { tag } = head;
  const total = first.length + second.length;
  const fields = 5 + 5 + 2 + tag.length + 1 + 1 + 1;
  const size = 8 + 6 + fields + (to - from);
  let at = output.reserve(size);
  const { chunk } = output;
  at = writeFrameHead(chunk, at, size, head.channel);
  at = chunk.writeUInt32BE(0x0053_14c0, at);
  chunk[at++] = fields + 1;
  chunk[at++] = 6;
  chunk[at++] = 0x70;
  at = chunk.writeUInt32BE(head.handle, at);
  chunk[at++] = 0x70;
  at = chunk.writeUInt32BE(head.deliveryId, at);
  chunk[at++] = 0xa0;
  chunk[at++] = tag.length;
  at += tag.copy(chunk, at);
  chunk[at++] = 0x43;
  chunk[at++] = head.settled ? 0x41 : 0x42;
  chunk[at++] = to < total ? 0x41 : 0x42;
  if (from < first.length) at += first.copy(chunk, at, from, Math.min(to, first.length));
  if (to > first.length) second.copy(chunk, at, Math.max(0, from - first.length), to - first.length);
}

function writeFrameHead(chunk: Buffer, at: number, size: number, channel: number): number {
  chunk.writeUInt32BE(size, at);
  chunk[at + 4] = 2;
  chunk[at + 5] = 0;
  chunk.writeUInt16BE(channel, at + 6);
  return at + 8;
}

/** Settles a range of deliveries as accepted. `role` true = the broker received them. */
export function writeAccepted(output: OutputBuffer, channel: number, role: boolean, first: number, last: number): void {
  const size = 8 + 6 + 1 + 5 + 5 + 1 + 4;
  let at = output.reserve(size);
  const { chunk } = output;
  at = writeFrameHead(chunk, at, size, channel);
  at = chunk.writeUInt32BE(0x0053_15c0, at);
  chunk[at++] = 17;
  chunk[at++] = 5;
  chunk[at++] = role ? 0x41 : 0x42;
  chunk[at++] = 0x70;
  at = chunk.writeUInt32BE(first, at);
  chunk[at++] = 0x70;
  at = chunk.writeUInt32BE(last, at);
  chunk[at++] = 0x41;
  chunk.writeUInt32BE(0x0053_2445, at);
}

const scratch = new Writer(1024);

function writeScratch(output: OutputBuffer, channel: number): void {
  const body = scratch.view();
  const at = output.reserve(8 + body.length);
  body.copy(output.chunk, writeFrameHead(output.chunk, at, 8 + body.length, channel));
}

/** Settles one delivery as rejected. */
export function writeRejected(output: OutputBuffer, channel: number, role: boolean, id: number, error: WireError): void {
  scratch.reset();
  scratch.descriptor(0x15);
  const list = scratch.open(0xd0, 5);
  scratch.value(role);
  scratch.uint(id);
  scratch.uint(id);
  scratch.value(true);
  scratch.descriptor(0x25);
  const state = scratch.open(0xd0, 1);
  scratch.descriptor(0x1d);
  const fields = scratch.open(0xd0, 2);
  scratch.symbol(error.condition);
  scratch.string(error.description);
  scratch.close(fields);
  scratch.close(state);
  scratch.close(list);
  writeScratch(output, channel);
}

export interface Flow {
  readonly channel: number;
  readonly nextIncomingId: number;
  readonly incomingWindow: number;
  readonly nextOutgoingId: number;
  readonly outgoingWindow: number;
  readonly link: { readonly handle: number; readonly deliveryCount: number; readonly credit: number; readonly drain: boolean } | undefined;
}

export function writeFlow(output: OutputBuffer, flow: Flow): void {
  scratch.reset();
  scratch.descriptor(0x13);
  const list = scratch.open(0xd0, flow.link === undefined ? 4 : 9);
  scratch.uint(flow.nextIncomingId);
  scratch.uint(flow.incomingWindow);
  scratch.uint(flow.nextOutgoingId);
  scratch.uint(flow.outgoingWindow);
  if (flow.link !== undefined) {
    scratch.uint(flow.link.handle);
    scratch.uint(flow.link.deliveryCount);
    scratch.uint(flow.link.credit);
    scratch.value(null);
    scratch.value(flow.link.drain);
  }
  scratch.close(list);
  writeScratch(output, flow.channel);
}

/** A frame without a body: it carries nothing but an acknowledgement of the bytes before it. */
export function writeEmpty(output: OutputBuffer): void {
  const at = output.reserve(8);
  writeFrameHead(output.chunk, at, 8, 0);
}
