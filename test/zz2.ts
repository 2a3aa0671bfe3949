import { IntakeSimulation } from "./support/intake-simulation.ts";
const bounds = { start: 4, floor: 1, ceiling: 10_000, waitMaxMs: 500 };
const at = (tripMs: number, loopMs: number) => ({ servers: 1, serviceMs: 0.01, receiveMs: tripMs, claimMs: tripMs, settleMs: tripMs, loopMs });
for (const [loopMs, far, near] of [[0.033, 40, 1], [0.1, 40, 1], [0.1, 100, 2], [0.033, 40, 0.2], [0.5, 40, 0.2]] as const) {
  const s = new IntakeSimulation(bounds, at(far, loopMs));
  s.run(6000); const out = [`${s.window.size}`];
  s.shape = at(near, loopMs);
  for (let t = 0; t < 50; t++) { const r = s.run(500); out.push(`${s.window.size}:${(r.perSecond * loopMs / 1000).toFixed(2)}`); }
  const n = new IntakeSimulation(bounds, at(near, loopMs)); n.run(6000);
  console.log(loopMs, far, near, "near from the start", n.window.size, "|", out.join(" "));
}
