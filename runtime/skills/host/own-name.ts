/**
 * What plugins and configurations import by name without having installed it: the runtime as `holdfast`, and `zod`, in which they
 * write their schemas. They may lie anywhere: beside a clone, under a command that was installed for the whole machine, in a
 * folder that was mounted into the image; there Node's own search need not find either.
 *
 * `holdfast` leads to the very modules that run: another copy, or an old build beside the source, would have classes and state of
 * its own. `zod` leads to what the plugin has installed, and to the runtime's own where it has none.
 */
import { extname } from "node:path";
import { hookModules } from "./module-hooks.ts";

const moduleOf = (path: string): string => new URL(`../../${path}${extname(import.meta.filename)}`, import.meta.url).href;
/** What the package exports, by the names that authors import. */
const own = new Map([
  ["holdfast", moduleOf("index")],
  ["holdfast/broker", moduleOf("../load/broker/index")],
  ["holdfast/testing", moduleOf("testing/index")],
  ["holdfast/postgres", moduleOf("postgres/index")],
]);
const lent = /^zod(?:\/|$)/;
let isKnown = false;

/** Call it in each thread before it imports what others wrote. Idempotent. */
export function knowOwnName(): void {
  if (isKnown) return;
  isKnown = true;
  hookModules({
    resolve(specifier, context, next) {
      const url = own.get(specifier);
      if (url !== undefined) return { url, shortCircuit: true };
      try {
        return next(specifier, context);
      } catch (error) {
        if (!lent.test(specifier) || (error as NodeJS.ErrnoException).code?.endsWith("MODULE_NOT_FOUND") !== true) throw error;
        return { url: import.meta.resolve(specifier), shortCircuit: true };
      }
    },
  });
}
