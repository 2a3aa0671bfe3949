// Big-endian reads without a DataView and without bounds: callers have compared with their end before they read.

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at]!;
}

export function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function u32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Below this many bytes a loop beats the call into the runtime. */
const loopBytesMax = 32;

/** Copies `source[start, end)` to `target` at `at`. */
export function copyBytes(source: Uint8Array, target: Buffer, at: number, start: number, end: number): void {
  if (end - start > loopBytesMax) {
    Buffer.prototype.copy.call(source, target, at, start, end);
    return;
  }
  for (let from = start, to = at; from < end; from++, to++) target[to] = source[from]!;
}
