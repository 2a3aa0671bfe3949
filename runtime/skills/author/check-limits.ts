// Checks of what authors say of limits.
import { ConfigurationError } from "../../core/errors.ts";
import { type LimitPolicy, type LimitScope, limitScopes, limitsProblem } from "../../core/limits.ts";
import { checkFunction, checkNumber, checkKeys, checkOneOf, refuse } from "./check-options.ts";

const limitRanges = {
  requestsPerMinute: { min: 1, max: 10_000_000 },
  tokensPerMinute: { min: 1, max: 1_000_000_000 },
  burstMs: { min: 0, max: 60_000 },
};
const tokensRange = { min: 0, max: 1_000_000_000 };

function checkLimit(owner: string, given: unknown): LimitPolicy {
  checkKeys(owner, given, ["by", ...Object.keys(limitRanges)]);
  const numbers = Object.entries(limitRanges)
    .filter(([name]) => given[name] !== undefined)
    .map(([name, range]) => [name, checkNumber(`${owner}.${name}`, given[name], range)]);
  const by: LimitScope | undefined = given["by"] === undefined ? undefined : checkOneOf(`${owner}.by`, given["by"], limitScopes);
  return { ...(by === undefined ? {} : { by }), ...Object.fromEntries(numbers) };
}

export function checkLimits(owner: string, given: unknown): readonly LimitPolicy[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) refuse(owner, "a list of { by, requestsPerMinute, tokensPerMinute, burstMs }", given);
  const limits = given.map((limit: unknown, index) => checkLimit(`${owner}[${index}]`, limit));
  const problem = limitsProblem(limits);
  if (problem !== undefined) throw new ConfigurationError(`${owner}: expected ${problem.expected}, got ${problem.got}`);
  return limits;
}

/** What a call uses: a number, or what makes one of a request. */
export function checkEstimate<Given>(owner: string, given: Given): Given {
  if (given !== undefined && typeof given !== "function") checkNumber(owner, given, tokensRange);
  return given;
}

export function checkCallOptions(dependency: string, options: unknown): void {
  const owner = `call of '${dependency}'`;
  checkKeys(owner, options, ["estimatedTokens", "tokensOf"]);
  const { estimatedTokens, tokensOf } = options;
  if (estimatedTokens !== undefined) checkNumber(`${owner}.estimatedTokens`, estimatedTokens, tokensRange);
  if (tokensOf !== undefined) checkFunction(`${owner}.tokensOf`, tokensOf);
}
