/**
 * Watches a file by looking at it: what mounts files into containers replaces folders and links, and networks tell nobody of changes. What has changed
 * is read once it stays as it is, for whoever writes it may be in the middle of that: in all within a second and a half.
 */
import { readFile, stat } from "node:fs/promises";
import { messageOf } from "../../core/errors.ts";

const lookEveryMs = 250;
/** A file that has changed is looked at again so soon, and read if it has not changed since; what never stops changing is read all the same. */
const looksAgainAfterMs = 50;
const looksAgainMax = 20;
const bytesMax = 1_048_576;

export type FileNews = { readonly text: string } | { readonly error: string };

/** Reads a file of at most 1 MiB. */
export async function readSmallFile(file: string): Promise<FileNews> {
  try {
    const { size } = await stat(file);
    if (size > bytesMax) return { error: `expected at most ${bytesMax} bytes, found ${size}` };
    return { text: await readFile(file, "utf8") };
  } catch (error) {
    return { error: messageOf(error, 200) };
  }
}

export class WatchedFile {
  readonly #file: string;
  readonly #heard: (news: FileNews) => void;
  /** What it was when it was read last. */
  #seen: string;
  /** What it was when it was found to have changed, and how often that was so in a row. */
  #found = "";
  #again = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** `heard`: what has come to stand there, or why it cannot be read. Nothing is said of what stands there when it starts, unless `tellsFirst`. */
  constructor(file: string, heard: (news: FileNews) => void, tellsFirst = false) {
    this.#file = file;
    this.#heard = heard;
    this.#seen = tellsFirst ? "never" : "";
  }

  start(): void {
    void this.#look();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const mark = await this.#mark();
    if (this.#seen !== "" && mark !== this.#seen && mark !== this.#found && this.#again < looksAgainMax) {
      this.#found = mark;
      this.#again += 1;
      this.#lookAfter(looksAgainAfterMs);
      return;
    }
    const isNews = this.#seen !== "" && mark !== this.#seen;
    const news = isNews ? await readSmallFile(this.#file) : undefined;
    if (this.#isStopped) return;
    this.#seen = mark;
    this.#found = "";
    this.#again = 0;
    if (news !== undefined) this.#heard(news);
    this.#lookAfter(lookEveryMs);
  }

  #lookAfter(delayMs: number): void {
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#look(), delayMs);
  }

  async #mark(): Promise<string> {
    try {
      const { mtimeNs, ctimeNs, size, ino } = await stat(this.#file, { bigint: true });
      return [mtimeNs, ctimeNs, size, ino].join();
    } catch (error) {
      return messageOf(error, 200);
    }
  }
}
