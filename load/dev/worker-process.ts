/** The worker of the world: a process that can be killed and started again, and what all its lives reported together. */
import { type Child, startChild } from "./child.ts";
import { type WorkerReport, WorkerReports } from "./worker-reports.ts";

interface Ready {
  /** Where its admin server listens; undefined where it has none. */
  readonly admin?: string;
}

export class WorkerProcess {
  readonly #configFile: string;
  readonly #env: Readonly<Record<string, string>> | undefined;
  /** Of all its lives. */
  readonly reports: WorkerReports = new WorkerReports();
  #lives = 0;
  #child: Child<Ready> | undefined;

  /** `env` comes beside this process's own environment. */
  constructor(configFile: string, env?: Readonly<Record<string, string>>) {
    this.#configFile = configFile;
    this.#env = env;
  }

  async start(): Promise<void> {
    const life = this.#lives++;
    const heard = (message: unknown): void => {
      const report = message as WorkerReport & { readonly type: string };
      if (report.type === "report") this.reports.add(life, report);
    };
    this.#child = await startChild("runtime/cli/main", ["start", "--config", this.#configFile], heard, this.#env);
  }

  /** Of its present life. */
  get pid(): number | undefined {
    return this.#child?.process.pid;
  }

  /** Where its live page is, in its present life; undefined where it has none. */
  get page(): string | undefined {
    return this.#child?.ready.admin;
  }

  /** Its reports, and the curves of its page, leave out what it did so far. */
  begin(): void {
    this.reports.begin();
    this.#child?.process.send({ type: "begin" });
  }

  /** Ends it at once, as a lost node would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child?.process.kill("SIGKILL");
    await this.#child?.exited;
  }

  /** Stops it in its tracks, without its knowing. */
  freeze(): void {
    this.#child?.process.kill("SIGSTOP");
  }

  /** Lets it go on where it was frozen. */
  thaw(): void {
    this.#child?.process.kill("SIGCONT");
  }

  /** Lets it drain and hand back; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.#child?.stop();
  }
}
