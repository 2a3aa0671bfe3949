/**
 * A call of a script, as bytes. ioredis puts a text together of all arguments, asking of each how long it is in UTF-8, and makes bytes of that in
 * the end; the arguments of a batch are a thousand, and nearly always ASCII, which is as long as it looks.
 */
import type { Command } from "ioredis";
import { ioredis } from "./connect.ts";
import type { Script } from "./scripts.ts";

/** Around an argument: `$`, its length, the ends of two lines, and so much that a text of other characters, cut at the end, is longer than it looks. */
const frameBytesMax = 16;
/** What is longer is rare. */
const textMax = 9_999;

const dollar = 0x24;
const asterisk = 0x2a;
const zero = 0x30;
const carriageReturn = 0x0d;
const lineFeed = 0x0a;

class Writing {
  readonly bytes: Buffer;
  at = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size);
  }

  /** False where a text among them is no ASCII. */
  arguments(args: readonly (string | Buffer)[]): boolean {
    for (let index = 0; index < args.length; index += 1) {
      const arg = args[index] as string | Buffer;
      this.count(dollar, arg.length);
      if (typeof arg !== "string") this.#copy(arg);
      else if (!this.#text(arg)) return false;
      this.#end();
    }
    return true;
  }

  #copy(part: Buffer): void {
    this.bytes.set(part, this.at);
    this.at += part.length;
  }

  /** Each behind what all of them begin with, of which no text is made. */
  prefixed(prefix: string, texts: readonly string[]): boolean {
    for (let index = 0; index < texts.length; index += 1) {
      const text = texts[index] as string;
      this.count(dollar, prefix.length + text.length);
      if (!this.#text(prefix) || !this.#text(text)) return false;
      this.#end();
    }
    return true;
  }

  #text(text: string): boolean {
    const written = this.bytes.write(text, this.at);
    this.at += written;
    return written === text.length;
  }

  count(mark: number, count: number): void {
    this.bytes[this.at++] = mark;
    let unit = 1;
    while (unit * 10 <= count) unit *= 10;
    for (; unit >= 1; unit = Math.floor(unit / 10)) this.bytes[this.at++] = zero + (Math.floor(count / unit) % 10);
    this.#end();
  }

  #end(): void {
    this.bytes[this.at++] = carriageReturn;
    this.bytes[this.at++] = lineFeed;
  }
}

/** -1 where a text among them is long. */
function sizeOf(args: readonly (string | Buffer)[]): number {
  let size = 0;
  for (let index = 0; index < args.length; index += 1) {
    const arg = args[index] as string | Buffer;
    if (typeof arg === "string" && arg.length > textMax) return -1;
    size += arg.length + frameBytesMax;
  }
  return size;
}

/** Keys that begin alike. */
export interface KeysOf {
  readonly prefix: string;
  readonly ends: readonly string[];
}

export const noKeys: KeysOf = { prefix: "", ends: [] };

/** Undefined where a text is no ASCII, or long: then ioredis writes them. `more`: keys behind `keys`. */
export function scriptCall(script: Script, keys: readonly string[], args: readonly (string | Buffer)[], more: KeysOf = noKeys): Command | undefined {
  const { prefix, ends } = more;
  const count = keys.length + ends.length;
  const head = ["evalsha", script.sha, String(count)];
  const sizes = [sizeOf(head), sizeOf(keys), sizeOf(ends), sizeOf(args)];
  if (sizes.includes(-1) || prefix.length > textMax) return undefined;
  const writing = new Writing(sizes.reduce((sum, size) => sum + size, frameBytesMax + ends.length * prefix.length));
  writing.count(asterisk, head.length + count + args.length);
  if (!writing.arguments(head) || !writing.arguments(keys) || !writing.prefixed(prefix, ends)) return undefined;
  if (!writing.arguments(args)) return undefined;
  const bytes = writing.bytes.subarray(0, writing.at);
  const { Command } = ioredis();
  // By the first key ioredis finds the node of a cluster.
  const first = keys[0] ?? (ends[0] === undefined ? undefined : prefix + ends[0]);
  const call = new Command("evalsha", first === undefined ? [script.sha, "0"] : [script.sha, "1", first], { replyEncoding: null });
  return Object.assign(call, { toWritable: () => bytes });
}
