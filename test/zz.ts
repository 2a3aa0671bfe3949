import { IntakeSimulation } from "./support/intake-simulation.ts";
const bounds = { start: 4, floor: 1, ceiling: 100_000, waitMaxMs: 500 };
for (const [count, tripMs, loopMs] of [[1, 0.49, 0.05], [4, 10, 0.05], [4, 40, 0.05],[8,1,0.05]] as const) {
  const s = new IntakeSimulation(bounds, { servers: 1, serviceMs: 0.01, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs, loopMs, records: { count, tripMs } });
  const out: string[] = [];
  for (let t = 0; t < 60; t++) { const r = s.run(500); out.push(`${s.window.size}:${(r.perSecond * loopMs * (1 + count) / 1000).toFixed(2)}`); }
  console.log(count, tripMs, loopMs, out.join(" "));
}
