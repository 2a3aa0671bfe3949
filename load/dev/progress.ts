/** A promise that can be asked whether it is done. */
export class Progress {
  readonly done: Promise<void>;
  #isDone = false;
  #failure: unknown;

  constructor(work: Promise<void>) {
    this.done = work;
    work.then(
      () => {
        this.#isDone = true;
      },
      (error: unknown) => {
        this.#isDone = true;
        this.#failure = error;
      },
    );
  }

  /** Throws what the work failed with. */
  isDone(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#isDone;
  }
}
