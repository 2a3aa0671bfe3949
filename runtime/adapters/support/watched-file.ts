/**
 * Watches a file by looking at it: what mounts files into containers replaces folders and links, and networks tell nobody of changes.
 */
import { readFile, stat } from "node:fs/promises";
import { messageOf } from "../../core/errors.ts";

const lookEveryMs = 250;
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
    const isNews = this.#seen !== "" && mark !== this.#seen;
    const news = isNews ? await readSmallFile(this.#file) : undefined;
    if (this.#isStopped) return;
    this.#seen = mark;
    if (news !== undefined) this.#heard(news);
    this.#timer = setTimeout(() => void this.#look(), lookEveryMs);
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
