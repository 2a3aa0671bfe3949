import { test, type TestContext } from "node:test";

/** Whether drills run at their full length, as `npm run test:drills` has it; `npm test` runs their short form. */
export const isLong: boolean = process.env["HOLDFAST_LONG"] === "1";

/** Registers a test that has no short form: `npm run test:drills` runs it, `npm test` does not know of it. */
export function longTest(name: string, body: (t: TestContext) => Promise<void>): void {
  if (isLong) test(name, body);
}

/** The stores that a whole worker is tried with; the contract of every store is tried in any case. */
export const storesTried: readonly ("redis" | "sqlite")[] = isLong ? ["redis", "sqlite"] : ["redis"];
