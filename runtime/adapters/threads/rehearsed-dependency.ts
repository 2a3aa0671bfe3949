/**
 * A dependency for rehearsals: its calls go through the client as those of every HTTP dependency do, over connections in memory. Nothing
 * leaves the thread, and no port is opened.
 */
import { type Duplex, duplexPair } from "node:stream";
import { type HttpDependency, defineDependency } from "../../skills/author/define-dependency.ts";
import type { PreparedDependency } from "../../skills/host/prepared-skill.ts";

const origin = "http://rehearsal.invalid";
const connectionsMax = 8;
const answer = JSON.stringify({ id: "r-1", accepted: true, lines: [1, 2, 3], note: "as dependencies answer" });
const response = `HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: ${answer.length}\r\nkeep-alive: timeout=60\r\n\r\n${answer}`;
const headEnd = "\r\n\r\n";

export interface RehearsedDependency {
  readonly dependency: HttpDependency;
  readonly prepared: PreparedDependency;
  /** Ends its connections. */
  close(): void;
}

/** Answers each request that comes whole. */
function answerAll(peer: Duplex): void {
  let text = "";
  peer.setEncoding("latin1");
  peer.on("data", (part: string) => {
    text += part;
    const end = text.indexOf(headEnd);
    if (end < 0) return;
    const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < end + headEnd.length + length) return;
    text = "";
    peer.write(response);
  });
  // The client's end of it was closed.
  peer.on("error", () => undefined);
}

export async function rehearsedDependency(name: string): Promise<RehearsedDependency> {
  const { makeHttpRequest } = await import("../../skills/host/http-request.ts");
  const dependency = defineDependency({ name, baseUrl: origin });
  const { timeouts, circuit, retry, responseBytesMax } = dependency;
  const ends: Duplex[] = [];
  const connect = (): Duplex => {
    const [near, far] = duplexPair();
    answerAll(far);
    ends.push(near, far);
    return near;
  };
  const request = makeHttpRequest({ name, baseUrl: origin, timeouts, responseBytesMax, connectionsMax, connect });
  return {
    dependency,
    prepared: {
      name,
      number: 0,
      timeouts,
      circuit,
      retry,
      limits: undefined,
      generativeAi: undefined,
      server: { address: new URL(origin).hostname, port: 80 },
      request: request as unknown as PreparedDependency["request"],
    },
    close() {
      for (const end of ends) end.destroy();
    },
  };
}
