/** The window that a receiver opens for bytes, as the broker sees it: what it granted is used up before more is asked for. */
export class ModelWindow {
  readonly #room: (arrivingBytes: number) => number;
  #leftBytes = 0;
  /** Of a message that is sent in part. */
  #arrivingBytes = 0;
  /** Of whole messages that are on their way. */
  #sentBytes = 0;

  constructor(room: (arrivingBytes: number) => number) {
    this.#room = room;
  }

  get isBound(): boolean {
    return this.#leftBytes !== Number.POSITIVE_INFINITY;
  }

  /** How many of the next messages, of these sizes, there is room for; of the one after them as much is sent as there is room for. */
  send(sizes: readonly number[]): number {
    let count = 0;
    while (count < sizes.length && this.#sends(sizes[count] as number)) count += 1;
    return count;
  }

  arrived(bytes: number): void {
    this.#sentBytes -= bytes;
  }

  #sends(bytes: number): boolean {
    while (this.#leftBytes < bytes - this.#arrivingBytes) {
      this.#arrivingBytes += this.#leftBytes;
      this.#leftBytes = Math.max(0, this.#room(this.#arrivingBytes) - this.#arrivingBytes - this.#sentBytes);
      if (this.#leftBytes === 0) return false;
    }
    this.#leftBytes -= bytes - this.#arrivingBytes;
    this.#arrivingBytes = 0;
    this.#sentBytes += bytes;
    return true;
  }
}
