/**
 * Loaded into each process that runs a file of tests: ends one that stays open although its tests are over (a server that a failed
 * start left behind, say), and says what keeps it. The runner's own time limit is one for tests: it waits for such a file for ever.
 */
import { isLong } from "./long.ts";

const openMaxMs = Number(process.env["HOLDFAST_TEST_FILE_MAX_MS"] ?? (isLong ? 3_600_000 : 300_000));

/** Only such a process has it; what it starts is none of the runner's. */
if (process.env["NODE_TEST_CONTEXT"] !== undefined && process.argv[1]?.endsWith(".test.ts")) {
  setTimeout(() => {
    const held = process.getActiveResourcesInfo().filter((name) => name !== "Timeout" && name !== "Immediate");
    process.stderr.write(
      `${process.argv[1]}: expected this file of tests to end within ${openMaxMs / 1_000} s, found it open; what keeps it is one of: ${held.join(", ")}\n`,
    );
    process.exit(1);
  }, openMaxMs).unref();
}
