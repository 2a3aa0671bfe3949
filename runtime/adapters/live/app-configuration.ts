/** Live settings in one key of Azure App Configuration, which is asked from time to time whether it has changed. */
import { AppConfigurationClient, type AppConfigurationClientOptions } from "@azure/app-configuration";
import { messageOf } from "../../core/errors.ts";
import type { LiveListener, LiveSource } from "./settings-file.ts";

export interface AppConfigurationOptions {
  readonly endpoint: string;
  readonly key: string;
  readonly label?: string | undefined;
  readonly everyMs: number;
  readonly credential: ConstructorParameters<typeof AppConfigurationClient>[1];
  /** For a service of a test's own. */
  readonly client?: AppConfigurationClientOptions;
}

const answerTimeoutMs = 10_000;
const notFound = 404;

export function watchAppConfiguration(options: AppConfigurationOptions, listener: LiveListener): LiveSource {
  const { endpoint, key, label, everyMs, credential } = options;
  const client = new AppConfigurationClient(endpoint, credential, { retryOptions: { maxRetries: 1 }, ...options.client });
  let etag: string | undefined;
  let trouble: string | undefined;
  let isStopped = false;
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    const id = { key, ...(label === undefined ? {} : { label }), ...(etag === undefined ? {} : { etag }) };
    const answer = await client.getConfigurationSetting(id, { onlyIfChanged: etag !== undefined, abortSignal: AbortSignal.timeout(answerTimeoutMs) });
    trouble = undefined;
    if (answer.statusCode === 304 || isStopped) return;
    etag = answer.etag;
    try {
      listener.offer(JSON.parse(answer.value ?? "{}"));
    } catch (error) {
      listener.refuse(`expected the value of '${key}' to be JSON, found ${messageOf(error, 200)}`);
    }
  };
  const look = async (): Promise<void> => {
    await ask().catch((error: unknown) => failed(error));
    if (!isStopped) timer = setTimeout(() => void look(), everyMs);
  };
  /** Each kind of trouble is told once; who has nothing to say yet need not have the key. */
  const failed = (error: unknown): void => {
    if (isStopped || (etag === undefined && (error as { readonly statusCode?: unknown }).statusCode === notFound)) return;
    const found = `expected App Configuration to give '${key}', found ${messageOf(error, 200)}`;
    if (found !== trouble) listener.refuse(found);
    trouble = found;
  };
  return {
    start: () => void look(),
    stop: () => {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}
