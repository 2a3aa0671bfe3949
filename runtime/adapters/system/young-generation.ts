/**
 * V8 doubles the part of a heap for new objects as long as much of what is in it survives. While modules are loaded nearly all of it
 * does, for good: a worker that is about to start has 64 MB of it, which it needs for no message, and which V8 does not give back.
 * So it stays as it is until everything is loaded. V8 looks at the factor each time, in every thread.
 */
import { setFlagsFromString } from "node:v8";

export function holdYoungGeneration(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}

/** From here on it grows with the work, as V8 has it. */
export function letYoungGenerationGrow(): void {
  setFlagsFromString("--semi-space-growth-factor=2");
}
