// A lock's id on the wire: the delivery tag is a GUID in .NET's byte order, and management requests carry the same GUID
// with its first three groups turned round. The first half marks this run of the broker, the second is the lock's number.

/** Bytes of a lock token. */
export const lockTokenBytes = 16;

const two32 = 2 ** 32;

export class LockTokens {
  readonly #high: number;
  readonly #low: number;

  /** @param seed eight random bytes, so that no token of an earlier run is taken for one of this run */
  constructor(seed: Buffer) {
    this.#high = seed.readUInt32BE(0);
    this.#low = seed.readUInt32BE(4);
  }

  /** Writes the delivery tag of a lock. */
  write(target: Buffer, at: number, lockId: number): void {
    target.writeUInt32BE(this.#high, at);
    target.writeUInt32BE(this.#low, at + 4);
    const upper = Math.floor(lockId / two32);
    target.writeUInt32BE(upper, at + 8);
    target.writeUInt32BE(lockId - upper * two32, at + 12);
  }

  tagOf(lockId: number): Buffer {
    const tag = Buffer.allocUnsafe(lockTokenBytes);
    this.write(tag, 0, lockId);
    return tag;
  }

  /** The lock token as management carries it. */
  tokenOf(lockId: number): Buffer {
    return turned(this.tagOf(lockId));
  }

  /** The lock that a management request means; undefined when the token was never ours. */
  lockOf(token: Buffer): number | undefined {
    if (token.length !== lockTokenBytes) return undefined;
    const tag = turned(token);
    if (tag.readUInt32BE(0) !== this.#high || tag.readUInt32BE(4) !== this.#low) return undefined;
    return tag.readUInt32BE(8) * two32 + tag.readUInt32BE(12);
  }
}

/** Turns the first three groups of a GUID round: from .NET's order to the network's, or back. */
function turned(guid: Buffer): Buffer {
  const copy = Buffer.from(guid);
  copy.subarray(0, 4).reverse();
  copy.subarray(4, 6).reverse();
  copy.subarray(6, 8).reverse();
  return copy;
}
