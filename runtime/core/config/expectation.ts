/** What an issue of a schema's expects, in our words. */
export function expectation(message: string): string {
  return message
    .replace(/^Invalid (input|option): /, "")
    .replace(/, received .*$/, "")
    .replace(/^Too (small|big): /, "")
    .replace(/^Invalid discriminator value\. Expected (.*)$/, (_message, kinds: string) => `expected ${kinds.replaceAll(" | ", " or ")}`);
}
