// Decompression under a cap: more than the cap, or than the ratio allows, is never produced.
import { brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateSync } from "node:zlib";

/** Small bodies may be compressed to any ratio: a page of spaces is no attack. */
const ratioFreeBytes = 64 * 1024;

export type ContentEncoding = "gzip" | "deflate" | "br";

interface Cap {
  readonly maxOutputLength: number;
}

type Later = (bytes: Uint8Array, cap: Cap, done: (error: Error | null, plain: Buffer) => void) => void;

const atOnce: Readonly<Record<ContentEncoding, (bytes: Uint8Array, cap: Cap) => Buffer>> = { gzip: gunzipSync, deflate: inflateSync, br: brotliDecompressSync };
const later: Readonly<Record<ContentEncoding, Later>> = { gzip: gunzip, deflate: inflate, br: brotliDecompress };

export function isContentEncoding(value: unknown): value is ContentEncoding {
  return typeof value === "string" && Object.hasOwn(atOnce, value);
}

/** How many bytes a body may become. */
export function outputBytesMax(bytes: Uint8Array, limits: { readonly bodyBytesMax: number; readonly ratioMax: number }): number {
  return Math.min(limits.bodyBytesMax, Math.max(ratioFreeBytes, bytes.byteLength * limits.ratioMax));
}

/** Throws what zlib throws: for too much, an error whose code is `ERR_BUFFER_TOO_LARGE`. */
export function decompressNow(bytes: Uint8Array, contentEncoding: ContentEncoding, outputMax: number): Uint8Array {
  return atOnce[contentEncoding](bytes, { maxOutputLength: outputMax });
}

/** Decompresses off the event loop; `undefined` for bytes that are something else or become too much. */
export function decompressLater(bytes: Uint8Array, contentEncoding: ContentEncoding, outputMax: number, done: (plain: Uint8Array | undefined) => void): void {
  later[contentEncoding](bytes, { maxOutputLength: outputMax }, (error, plain) => done(error === null ? plain : undefined));
}
