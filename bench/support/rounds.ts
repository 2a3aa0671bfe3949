import { showProgress } from "./progress.ts";

/**
 * Lets each contender have its turn, round after round, so that whatever else the machine does meets all of them alike. The
 * first round is dropped: in it, code is compiled.
 */
export async function interleave<Contender extends { readonly name: string }, Sample>(
  contenders: readonly Contender[],
  rounds: number,
  turn: (contender: Contender, isWarmUp: boolean) => Promise<Sample>,
): Promise<Map<string, Sample[]>> {
  const samples = new Map<string, Sample[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const contender of contenders) {
      showProgress(`${round === 0 ? "warm-up" : `round ${round} of ${rounds}`}: ${contender.name}`);
      const sample = await turn(contender, round === 0);
      if (round > 0) samples.get(contender.name)!.push(sample);
    }
  }
  showProgress("");
  return samples;
}
