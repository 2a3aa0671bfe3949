import type { resourceFromAttributes } from "@opentelemetry/resources";
import type { Span } from "../../../core/spans.ts";

/** The worker, and what the environment says of it. */
export type Resource = ReturnType<typeof resourceFromAttributes>;

/** Who exports, and by which code: the same for all spans of a worker. */
export interface SpanOrigin {
  readonly resource: Resource;
  readonly scope: { readonly name: string; readonly version: string };
}

export interface SpanExporter {
  export(spans: readonly Span[], done: (result: { readonly error?: Error }) => void): void;
  shutdown(): Promise<void>;
}
