/**
 * A secret that lies elsewhere: the configuration names its place, and its value may be replaced while the worker runs. Whoever needs it
 * reveals it at the moment of use and keeps nothing of it. However it is written (as text, as JSON, in a log line), it shows its place alone.
 */
import { ConfigurationError } from "./errors.ts";
import { hideFromNowOn } from "./redact.ts";

/** A file, a variable of the environment, or the identifier of a secret in Key Vault. */
export type SecretPlace = { readonly file: string } | { readonly env: string } | { readonly keyVault: string };

export function describePlace(place: SecretPlace): string {
  if ("file" in place) return `file ${place.file}`;
  return "env" in place ? `variable ${place.env}` : `Key Vault ${place.keyVault}`;
}

export class Secret {
  readonly place: SecretPlace;
  #check: (value: string) => string | undefined;
  #value: string | undefined;

  /** `check`: what is wrong with a value; undefined for nothing. */
  constructor(place: SecretPlace, check: (value: string) => string | undefined) {
    this.place = place;
    this.#check = check;
  }

  get isRead(): boolean {
    return this.#value !== undefined;
  }

  /** Throws `ConfigurationError` while it has not been read. */
  reveal(): string {
    if (this.#value === undefined)
      throw new ConfigurationError(
        `expected the secret in ${describePlace(this.place)} to have been read, found that it was not; read secrets before they are used`,
      );
    return this.#value;
  }

  /** What new values have to be besides. */
  demand(check: (value: string) => string | undefined): void {
    const before = this.#check;
    this.#check = (value) => before(value) ?? check(value);
  }

  /** What is wrong with the value, which is not taken then; `same` where it is the one that it has. */
  replace(value: string): { readonly result: "taken" | "same" } | { readonly result: "refused"; readonly why: string } {
    if (value === this.#value) return { result: "same" };
    // One that is refused is a secret all the same, and why it is may say it.
    hideFromNowOn(value);
    const why = this.#check(value);
    if (why !== undefined) return { result: "refused", why };
    this.#value = value;
    return { result: "taken" };
  }

  toString(): string {
    return describePlace(this.place);
  }

  toJSON(): SecretPlace {
    return this.place;
  }
}

/** A text that is kept from everybody's eyes, or where it lies. */
export type SecretText = string | Secret;

/** The value as it is now. */
export function reveal(secret: SecretText): string {
  return typeof secret === "string" ? secret : secret.reveal();
}
