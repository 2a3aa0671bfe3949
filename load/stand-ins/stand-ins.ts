import { makeControl } from "./control.ts";
import { makeModel } from "./model.ts";
import { makeNotifier } from "./notifier.ts";

/** Where the stand-ins listen; all on loopback, on ports of their own. */
export interface StandInAddresses {
  readonly urls: { readonly notifier: string; readonly model: string };
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
  const control = makeControl([notifier, model]);
  const [notifierUrl, modelUrl, controlUrl] = await Promise.all([notifier.start(), model.start(), control.listen({ port: 0, host: "127.0.0.1" })]);
  let stopped: Promise<void> | undefined;
  return {
    urls: { notifier: notifierUrl, model: modelUrl },
    controlUrl,
    stop() {
      stopped ??= Promise.all([notifier.stop(), model.stop(), control.close()]).then(() => undefined);
      return stopped;
    },
  };
}
