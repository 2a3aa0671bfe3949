// `npm run test:foreign`: the engine and the broker against implementations of others. Run it by hand whenever one of the
// two changes; it is no part of `npm test`, because the peers come from Debian's packages and the npm registry.
import "#runtime/cli/require-node.ts";
import { globSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { getPeers } from "./peers.ts";

const root = resolve(import.meta.dirname, "../..");
const testTimeOutMs = 300_000;
/** Clients mostly wait for each other. What files tell comes file by file all the same. */
const filesAtOnce = 3;

interface Row {
  readonly file: string;
  readonly title: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: string | undefined;
}

/** Runs the files, a few at once. A row is what stands at the top of a file; what is in it are its checks. */
async function runFiles(files: readonly string[], environment: NodeJS.ProcessEnv): Promise<Row[]> {
  const rows: Row[] = [];
  let passed = 0;
  let failed = 0;
  Object.assign(process.env, environment);
  // A check that failed may have left something open, which must not keep the others from their turn.
  const events = run({ files: files.map((file) => resolve(root, file)), concurrency: filesAtOnce, timeout: testTimeOutMs, forceExit: true });
  const close = (title: string, file: string, hasFailed: boolean, skip: string | boolean | undefined): void => {
    const isSkipped = skip !== undefined && skip !== false;
    // A row may fail by itself: what prepares its checks, or looks at the peer afterwards, has no name of its own.
    if (hasFailed && failed === 0) failed = 1;
    rows.push({ file: basename(file, ".foreign.ts"), title, passed, failed, skipped: isSkipped ? String(skip) : undefined });
    passed = 0;
    failed = 0;
  };
  events.on("test:pass", ({ name, nesting, file, skip }) => {
    if (nesting === 0) close(name, file ?? "", false, skip);
    else if (nesting === 1 && skip === undefined) passed++;
  });
  events.on("test:fail", ({ name, nesting, file }) => {
    if (nesting === 0) close(name, file ?? "", true, undefined);
    else if (nesting === 1) failed++;
  });
  events.compose(new spec()).pipe(process.stdout);
  await new Promise((done) => events.once("end", done));
  return rows;
}

function tell(rows: readonly Row[], absent: readonly string[]): void {
  const write = (text: string): void => void process.stdout.write(`${text}\n`);
  write("\nforeign peers");
  for (const { title, passed, failed, skipped } of rows) {
    if (skipped === undefined) write(`  ${failed > 0 ? "✖" : "✔"} ${title}: ${passed} of ${passed + failed}`);
  }
  if (absent.length > 0) write(`not to be had here\n${absent.map((line) => `  - ${line}`).join("\n")}`);
  const sum = (of: "passed" | "failed"): number => rows.reduce((total, row) => total + row[of], 0);
  write(`\n${sum("passed")} passed, ${sum("failed")} failed, ${absent.length} skipped`);
}

const folder = await mkdtemp(join(tmpdir(), "holdfast-foreign-"));
try {
  const { peers, environment } = await getPeers(folder);
  const patterns = process.argv.slice(2);
  const files = patterns.length > 0 ? patterns : globSync("test/foreign/*.foreign.ts", { cwd: root }).sort();
  const rows = await runFiles(files, environment);
  tell(
    rows,
    Object.values(peers).flatMap((peer) => ("absent" in peer ? [`${peer.title}: ${peer.absent}`] : [])),
  );
  if (rows.length === 0 || rows.some(({ failed }) => failed > 0)) process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
