/**
 * Message ids that nobody outside can predict. An entity that detects duplicates drops a message whose id it has seen: whoever
 * could predict the id of a copy or of an emitted event could have it dropped by sending a message of that id first. So these
 * ids end in a code over what they stand for, made with a secret that all workers of a consumer share: the same whenever the
 * same message is made again, by any of them.
 */
import { hash } from "node:crypto";

const idCharactersMax = 128;
/** 132 bits. */
const codeCharacters = 22;

/**
 * The id of what stands for `parts`, which begins with `name` as far as that fits. The hash is one that cannot be continued
 * from its value, so that the secret before the text makes it a code.
 */
export function unguessableId(secret: string, name: string, ...parts: readonly (string | number | bigint)[]): string {
  const text = JSON.stringify([name, ...parts.map(String)]);
  const code = hash("sha512-256", `${secret}\n${text}`, "base64url").slice(0, codeCharacters);
  return `${name.slice(0, idCharactersMax - codeCharacters - 1)}~${code}`;
}
