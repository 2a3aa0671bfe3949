/**
 * Plugins and configurations import the runtime as `holdfast`. Installed, that leads to the built package; while the runtime runs
 * from its source there need be no build, or an old one beside it, and the name leads to the very modules that run.
 */
import { registerHooks } from "node:module";
import { extname } from "node:path";

const ownName = "holdfast";
const isSource = extname(import.meta.filename) === ".ts";
const entry = new URL("../../index.ts", import.meta.url).href;
let isKnown = false;

/** Call it in each thread before it imports what others wrote. Idempotent. */
export function knowOwnName(): void {
  if (!isSource || isKnown) return;
  isKnown = true;
  registerHooks({ resolve: (specifier, context, next) => (specifier === ownName ? { url: entry, shortCircuit: true } : next(specifier, context)) });
}
