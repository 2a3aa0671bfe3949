// Skills that cost nothing, and skills that cost a known amount of CPU.
import { type Plugin, definePlugin, defineSkill } from "#runtime/index.ts";

/**
 * Rounds of arithmetic; the result is kept so that nothing is optimised away. Shifts alone: sums that leave 32 bits are
 * compiled in two ways, one of them six times slower, and which one a thread has is chance.
 */
function spin(rounds: number): number {
  let value = 1;
  for (let round = 0; round < rounds; round += 1) {
    value ^= value << 13;
    value ^= value >>> 17;
    value ^= value << 5;
  }
  return value;
}

let sink = 0;

const plugin: Plugin = definePlugin({
  skills: [
    defineSkill({ name: "noop", handles: [{ eventType: "bench.Noop" }], run: () => undefined }),
    defineSkill({ name: "noop-async", handles: [{ eventType: "bench.NoopAsync" }], run: async () => undefined }),
    defineSkill<{ readonly rounds: number; readonly times: number }>({
      name: "spin",
      handles: [{ eventType: "bench.Spin" }],
      timeoutMs: 60_000,
      run({ event: { payload } }) {
        for (let time = 0; time < payload.times; time += 1) sink ^= spin(payload.rounds);
      },
    }),
  ],
});
export default plugin;
