import type { SpanAttributes, SpanDraft } from "../../core/spans.ts";

/** A part of a run while it lasts; times are monotonic. Its id is made when somebody asks for it: most runs are not told of. */
export interface RunPart extends Pick<SpanDraft, "name" | "kind" | "startMs"> {
  /** What makes its id another one than those of the run's other parts. */
  readonly key: string;
  readonly number: number;
  /** Undefined for the run itself. */
  readonly parent: RunPart | undefined;
  /** 0 while it has not ended. */
  endMs: number;
  attributes: SpanAttributes;
  /** Code of the failure that it ended in. */
  error: string | undefined;
}
