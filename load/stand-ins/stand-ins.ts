import { makeControl } from "./control.ts";
import { makeLibrary } from "./library.ts";
import { makeModel } from "./model.ts";
import { makeNotifier } from "./notifier.ts";

/** Where the stand-ins listen; all on loopback, on ports of their own. Each is named like the dependency it plays. */
export interface StandInAddresses {
  readonly urls: { readonly notifier: string; readonly model: string; readonly library: string };
  readonly controlUrl: string;
}

export interface StandIns extends StandInAddresses {
  /** Answers what hangs, then closes. Idempotent. */
  stop(): Promise<void>;
}

/** Starts every stand-in and the control server in this process. */
export async function startStandIns(): Promise<StandIns> {
  const notifier = makeNotifier();
  const model = makeModel();
  const library = makeLibrary();
  const control = makeControl([notifier, model, library]);
  const [notifierUrl, modelUrl, libraryUrl, controlUrl] = await Promise.all([
    notifier.start(),
    model.start(),
    library.start(),
    control.listen({ port: 0, host: "127.0.0.1" }),
  ]);
  let stopped: Promise<void> | undefined;
  return {
    urls: { notifier: notifierUrl, model: modelUrl, library: libraryUrl },
    controlUrl,
    stop() {
      stopped ??= Promise.all([notifier.stop(), model.stop(), library.stop(), control.close()]).then(() => undefined);
      return stopped;
    },
  };
}
