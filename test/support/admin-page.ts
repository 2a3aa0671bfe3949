// The live page in a real browser, of a worker whose dependency a test makes hang, refuse and answer.
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import type { AdminConfig } from "#runtime/core/config/admin.ts";
import { runtimeModule, startWorkerBench, type RunningWorker, type WorkerBench } from "./worker-bench.ts";

const executable = "/usr/bin/chromium";
/** Whether there is a browser to try it with. */
export const hasBrowser: boolean = existsSync(executable);
export const screenshots: string = resolve(import.meta.dirname, "../../.holdfast/screenshots");

/** While a file of the folder is there, the bank hangs, or refuses. */
const module = (folder: string): string => `import { existsSync } from "node:fs";
import { PermanentError, defineDependency, definePlugin, defineSkill } from ${JSON.stringify(runtimeModule)};
import { setTimeout as pause } from "node:timers/promises";
const bank = defineDependency({
  name: "bank",
  bulkhead: { concurrentMax: 4, queueMax: 8 },
  async request(_request, { signal }) {
    while (existsSync(${JSON.stringify(join(folder, "hangs"))}) && !signal.aborted) await pause(50);
    if (existsSync(${JSON.stringify(join(folder, "refuses"))})) throw new PermanentError("the card was refused", { code: "CARD_REFUSED" });
    return { receipt: "R-17" };
  },
});
const payer = defineSkill({
  name: "payer",
  handles: [{ eventType: "Tried" }],
  uses: [bank],
  timeoutMs: 60_000,
  steps: (begin) => begin.step("reserve", { kind: "idempotent" }, () => "reserved").step("pay", (step) => step.call(bank, undefined)),
});
export default definePlugin({ skills: [payer], dependencies: [bank] });
`;

export interface PageScene {
  readonly bench: WorkerBench;
  readonly worker: RunningWorker;
  readonly url: string;
  readonly browser: Browser;
  readonly hang: (hangs: boolean) => void;
  readonly refuse: (refuses: boolean) => void;
  /** Opens the page; what its console complains of is kept. */
  readonly open: (options?: {
    readonly colorScheme?: "light" | "dark";
    readonly width?: number;
    readonly height?: number;
    /** What the caller types in where a token is asked for. */
    readonly token?: string;
    /** The heading that says that the page is there. */
    readonly heading?: string;
  }) => Promise<{ readonly page: Page; readonly complaints: string[] }>;
  readonly shoot: (page: Page, name: string) => Promise<void>;
}

export async function startPageScene(t: TestContext, admin: Omit<AdminConfig, "port"> = {}): Promise<PageScene> {
  const bench = await startWorkerBench(t, { entities: { queues: ["input"] }, skills: ["payer"], dependencies: ["bank"], module });
  const worker = await bench.startWorker({
    threads: 1,
    admin: { port: 0, ...admin },
    logFormat: "json",
    dependencies: { bank: { timeouts: { totalMs: 50_000 } } },
  });
  const url = String(worker.events("admin")[0]?.["url"]);
  const browser = await chromium.launch({ executablePath: executable, args: ["--no-sandbox"] });
  t.after(() => browser.close());
  const place = (name: string, isThere: boolean): void => {
    if (isThere) writeFileSync(join(bench.folder, name), "");
    else rmSync(join(bench.folder, name), { force: true });
  };
  return {
    bench,
    worker,
    url,
    browser,
    hang: (hangs) => place("hangs", hangs),
    refuse: (refuses) => place("refuses", refuses),
    async open({ colorScheme = "light", width = 1_280, height = 900, token, heading = "What is wrong" } = {}) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height } });
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(error.message));
      await page.goto(url);
      if (token !== undefined) {
        await page.getByLabel("Bearer token").fill(token);
        await page.keyboard.press("Enter");
      }
      await page.getByRole("heading", { name: heading }).waitFor();
      return { page, complaints };
    },
    async shoot(page, name) {
      mkdirSync(screenshots, { recursive: true });
      await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    },
  };
}

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[];
  }[];
}

/** What axe finds that keeps people from using the page, a line each. */
export async function barriersOf(page: Page): Promise<readonly string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<AxeResult>("axe.run()");
  return violations.flatMap(({ id, help, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${help}: ${html.slice(0, 160)} ${failureSummary ?? ""}`));
}
