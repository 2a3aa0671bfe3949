// Whether the shard that holds a tag answers. Once a call has failed, further ones are refused at once, so that the rest of their
// batch need not wait for a time-out each time; who asks after the pause has it tried out with a write of its own.
import { StoreUnavailableError } from "../../core/errors.ts";

const retryPauseMs = 200;

export class TagHealth {
  readonly #touch: () => Promise<void>;
  #failure: StoreUnavailableError | undefined;
  #isProbing = false;
  #probedAtMs = Number.NEGATIVE_INFINITY;

  constructor(touch: () => Promise<void>) {
    this.#touch = touch;
  }

  get isDown(): boolean {
    return this.#failure !== undefined;
  }

  async attempt<Answer>(call: () => Promise<Answer>): Promise<Answer> {
    const failure = this.#failure;
    if (failure !== undefined) {
      this.look();
      throw failure;
    }
    try {
      return await call();
    } catch (error) {
      if (error instanceof StoreUnavailableError) this.#failure = error;
      throw error;
    }
  }

  /** Has it tried out soon, unless that was done just now. */
  look(): void {
    if (this.#isProbing || performance.now() - this.#probedAtMs < retryPauseMs) return;
    this.#isProbing = true;
    void this.probe().then(() => {
      this.#isProbing = false;
      this.#probedAtMs = performance.now();
    });
  }

  /** Whether it takes a write now. Never rejects. */
  async probe(): Promise<boolean> {
    try {
      await this.#touch();
      this.#failure = undefined;
      return true;
    } catch (error) {
      this.#failure =
        error instanceof StoreUnavailableError ? error : new StoreUnavailableError("expected the run store to be started, found it stopped", { cause: error });
      return false;
    }
  }
}
