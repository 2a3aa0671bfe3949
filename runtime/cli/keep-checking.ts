/** Looks at the surroundings of a running worker from time to time, and logs what has changed for the worse, and for the better. */
import type { Logger } from "pino";
import { systemClock } from "../adapters/system/clock.ts";
import { Recurrences } from "../adapters/telemetry/recurrences.ts";
import type { Config } from "../core/config.ts";
import { checkSurroundings } from "./checks.ts";
import type { Finding } from "./finding.ts";
import { weighed } from "./weighed.ts";

/** Looks every `checkEveryMs` until the returned function is called. `before`: what was found at the start. */
export function keepChecking(config: Config, directory: string, logger: Logger, before: readonly Finding[]): () => void {
  const watch = new SettingsWatch(logger, before);
  let timer: NodeJS.Timeout | undefined;
  let isOver = false;
  const lookLater = (): void => {
    timer = setTimeout(() => {
      void checkSurroundings(config, directory).then((findings) => {
        if (isOver) return;
        watch.hear(weighed(findings, config));
        lookLater();
      });
    }, config.checkEveryMs);
  };
  lookLater();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

class SettingsWatch {
  readonly #logger: Logger;
  readonly #recurrences = new Recurrences(systemClock);
  readonly #failed = new Set<string>();

  constructor(logger: Logger, before: readonly Finding[]) {
    this.#logger = logger;
    for (const finding of before) if (finding.verdict === "unknown") logger.warn(fieldsOf(finding), `${finding.check}: ${finding.found}`);
  }

  /** What cannot be looked at now is no news: that the broker or the store does not answer is reported elsewhere. */
  hear(findings: readonly Finding[]): void {
    for (const finding of findings) {
      const { check, verdict } = finding;
      if (verdict === "failed" || verdict === "warning") this.#failedAgain(finding);
      else if (verdict === "ok" && this.#failed.delete(check)) {
        this.#recurrences.ended(check);
        this.#logger.info(fieldsOf(finding), `${check}: it is as it should be again`);
      }
    }
  }

  #failedAgain(finding: Finding): void {
    this.#failed.add(finding.check);
    const repeated = this.#recurrences.occurs(finding.check);
    if (repeated === undefined) return;
    const isRefused = finding.verdict === "failed";
    this.#logger[isRefused ? "error" : "warn"](
      { ...fieldsOf(finding), ...(repeated === 0 ? {} : { repeated }) },
      `${finding.check}: what the worker needs has changed, and the next start would ${isRefused ? "be refused" : `go on without ${finding.awaits}`}`,
    );
  }
}

function fieldsOf({ check, expected, found, remedy }: Finding): Record<string, string> {
  return { type: "settings.checked", check, expected, found, ...(remedy === "" ? {} : { remedy }) };
}
