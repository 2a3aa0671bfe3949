/**
 * Signs for tags to which a worker has had nothing to write for a while (see run-store.ts). Those of all consumers of a worker go out together, in
 * one command every few seconds however many there are. In a cluster each tag may be on another node: there it is a command each.
 */
import type { RedisClient } from "./client.ts";
import { unpackSignatures } from "./records.ts";
import { scripts } from "./scripts.ts";
import type { TagHealth } from "./tag-health.ts";
import type { TagStore } from "./tag-store.ts";

/** How long a tag may be without a write of this worker's. What another worker wrote within this time, and ended, nobody could answer for. */
const signEveryMs = 5_000;
/** Tags in one command, so that none takes long. */
const tagsPerCallMax = 100;

/** A store whose tags are signed for. */
export interface Signer {
  readonly parts: readonly { readonly store: TagStore; readonly health: TagHealth }[];
  readonly client: RedisClient;
  /** What was met is to be told. */
  signed(): void;
}

export class Signatures {
  readonly #isCluster: boolean;
  readonly #signers = new Set<Signer>();
  #timer: NodeJS.Timeout | undefined;

  constructor(isCluster: boolean) {
    this.#isCluster = isCluster;
  }

  add(signer: Signer): void {
    this.#signers.add(signer);
    this.#timer ??= setInterval(() => this.#sign(), signEveryMs / 2);
  }

  delete(signer: Signer): void {
    this.#signers.delete(signer);
    if (this.#signers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #sign(): void {
    const due: { readonly store: TagStore; readonly signer: Signer }[] = [];
    for (const signer of this.#signers) {
      for (const { store, health } of signer.parts) if (!health.isDown && store.quietForMs >= signEveryMs / 2) due.push({ store, signer });
    }
    // A server that was not looked at yet is, before anything is signed.
    const alone = this.#isCluster ? due : due.filter(({ store }) => store.isDisturbed);
    for (const { store, signer } of alone) {
      store.claim([], 0).then(
        () => signer.signed(),
        () => undefined,
      );
    }
    const together = this.#isCluster ? [] : due.filter(({ store }) => !store.isDisturbed);
    for (let from = 0; from < together.length; from += tagsPerCallMax) void this.#signFor(together.slice(from, from + tagsPerCallMax));
  }

  async #signFor(tags: readonly { readonly store: TagStore; readonly signer: Signer }[]): Promise<void> {
    const [first] = tags;
    if (first === undefined) return;
    const signatures = tags.map(({ store }) => store.signature());
    try {
      const reply = await first.signer.client.run(
        scripts.sign,
        signatures.map(({ key }) => key),
        signatures.flatMap(({ args }) => args),
      );
      for (const [index, answer] of unpackSignatures(reply, tags.length).entries()) signatures[index]?.met(answer);
    } catch {
      // It is tried again; what needs the store meanwhile finds out by itself.
      return;
    }
    for (const signer of new Set(tags.map((tag) => tag.signer))) signer.signed();
  }
}
