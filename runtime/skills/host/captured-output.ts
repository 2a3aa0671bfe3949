/**
 * What plugins print with `console` or straight to `process.stdout` and `process.stderr`, taken where it is written: the worker's
 * own lines are JSON, and nothing may come between them.
 */
export type OutputStream = "stdout" | "stderr";

function textOfChunk(chunk: unknown, encoding: unknown): string {
  if (typeof chunk === "string") return chunk;
  if (!(chunk instanceof Uint8Array)) return String(chunk);
  return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString(
    typeof encoding === "string" && Buffer.isEncoding(encoding) ? encoding : "utf8",
  );
}

/** Hands every write of this thread over, its last line break taken off, until the function that it returns is called. */
export function captureOutput(heard: (stream: OutputStream, text: string) => void): () => void {
  const restores = (["stdout", "stderr"] as const).map((name) => {
    const stream = process[name];
    const write = stream.write.bind(stream);
    stream.write = (chunk: unknown, encoding?: unknown, written?: unknown): boolean => {
      const text = textOfChunk(chunk, encoding).replace(/\r?\n$/, "");
      if (text !== "") heard(name, text);
      const callback = typeof encoding === "function" ? encoding : written;
      if (typeof callback === "function") process.nextTick(callback);
      return true;
    };
    return () => {
      stream.write = write;
    };
  });
  return () => restores.forEach((restore) => restore());
}
