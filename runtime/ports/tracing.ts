import type { Span } from "../core/spans.ts";

/** Where the spans of a worker go. Calls are cheap, synchronous and never throw. */
export interface Tracing {
  /** All of them are over. */
  take(spans: readonly Span[]): void;
}
