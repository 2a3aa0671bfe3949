/**
 * Reads the secrets that lie elsewhere, and looks after them: a file is watched, Key Vault is asked from time to time, the environment of a
 * process stays as it is. A value that cannot be read, or is not what it has to be, leaves the one before in its place, and is reported once.
 */
import { resolve } from "node:path";
import type { SecretChangedEvent } from "../../core/catalogue.ts";
import { ConfigurationError, messageOf } from "../../core/errors.ts";
import { describePlace, type Secret } from "../../core/secret.ts";
import { type FileNews, readSmallFile, WatchedFile } from "../support/watched-file.ts";

export interface KeptSecret {
  /** In the configuration. */
  readonly key: string;
  readonly secret: Secret;
}

/** Reads a secret by its identifier; rejects when it cannot be had. */
export type ReadVault = (identifier: string) => Promise<string>;

export interface SecretSurroundings {
  /** Relative files start here. */
  readonly directory: string;
  readonly readVault: ReadVault;
}

/** A file that a person has written ends with a line's end. */
function textOf(news: FileNews): string {
  if ("error" in news) throw new Error(news.error);
  return news.text.replace(/\r?\n$/, "");
}

async function read({ place }: Secret, { directory, readVault }: SecretSurroundings): Promise<string> {
  if ("file" in place) return textOf(await readSmallFile(resolve(directory, place.file)));
  if ("keyVault" in place) return readVault(place.keyVault);
  const value = process.env[place.env];
  if (value === undefined || value === "") throw new Error("no such variable");
  return value;
}

/** Reads those that have not been read. Throws `ConfigurationError` for the first that cannot be used. */
export async function readSecrets(secrets: readonly KeptSecret[], surroundings: SecretSurroundings): Promise<void> {
  await Promise.all(
    secrets.map(async ({ key, secret }) => {
      if (secret.isRead) return;
      let value: string;
      try {
        value = await read(secret, surroundings);
      } catch (error) {
        throw new ConfigurationError(
          `${key}: expected a secret in ${describePlace(secret.place)}, found ${messageOf(error, 300)}; put it there, or correct the reference`,
          {
            cause: error,
          },
        );
      }
      const taken = secret.replace(value);
      if (taken.result === "refused")
        throw new ConfigurationError(
          `${key}: ${taken.why}, found text of ${value.length} characters in ${describePlace(secret.place)}; correct what lies there`,
        );
    }),
  );
}

export interface SecretKeeperOptions extends SecretSurroundings {
  readonly secrets: readonly KeptSecret[];
  readonly vaultEveryMs: number;
  readonly tell: (event: SecretChangedEvent) => void;
}

export class SecretKeeper {
  readonly #options: SecretKeeperOptions;
  readonly #files: WatchedFile[] = [];
  /** Why each could not be replaced, as it was told. */
  readonly #troubles = new Map<Secret, string>();
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: SecretKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    const { secrets, directory } = this.#options;
    for (const kept of secrets) {
      const { place } = kept.secret;
      if ("file" in place) this.#files.push(new WatchedFile(resolve(directory, place.file), (news) => this.#take(kept, () => textOf(news)), true));
    }
    for (const file of this.#files) file.start();
    if (secrets.some(({ secret }) => "keyVault" in secret.place)) this.#askLater();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const file of this.#files) file.stop();
  }

  #askLater(): void {
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#askVaults().then(() => this.#askLater()), this.#options.vaultEveryMs);
  }

  async #askVaults(): Promise<void> {
    const { secrets, readVault } = this.#options;
    for (const kept of secrets) {
      const { place } = kept.secret;
      if (!("keyVault" in place) || this.#isStopped) continue;
      const answer = await readVault(place.keyVault).then(
        (value) => () => value,
        (error: unknown) => () => {
          throw error;
        },
      );
      this.#take(kept, answer);
    }
  }

  #take({ key, secret }: KeptSecret, value: () => string): void {
    const told = this.#troubles.get(secret);
    let error: string | undefined;
    let isNew = false;
    try {
      const taken = secret.replace(value());
      isNew = taken.result === "taken";
      error = taken.result === "refused" ? taken.why : undefined;
    } catch (thrown) {
      error = messageOf(thrown, 300);
    }
    const tell = (state: SecretChangedEvent["state"]): void =>
      this.#options.tell({ type: "secret.changed", state, setting: key, place: String(secret), error: error ?? "" });
    if (error === undefined) this.#troubles.delete(secret);
    else this.#troubles.set(secret, error);
    if (isNew) tell("replaced");
    else if (error !== undefined && error !== told) tell("refused");
  }
}
