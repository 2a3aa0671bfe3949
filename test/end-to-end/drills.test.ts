// A worker while the broker makes trouble: every message must end as it should, handled once.
import type { FaultRequest } from "#load/broker/protocol/faults.ts";
import { eventually } from "../support/eventually.ts";
import { drillOnEach } from "../support/transports.ts";
import { startDrill } from "../support/worker-drill.ts";

const target = "input";

const faults: readonly FaultRequest[] = [
  { kind: "drop", target, rate: 0.01, count: 3 },
  { kind: "detach", target, rate: 0.01, count: 3 },
  { kind: "delaySettlements", target, rate: 0.2, delayMs: 300, count: 40 },
  { kind: "loseSettlements", target, rate: 0.05, count: 5 },
  { kind: "expireLocks", target, rate: 0.05, count: 20 },
  { kind: "deliverTwice", target, rate: 0.05, count: 20 },
  { kind: "failTokens", rate: 0.5, count: 4 },
  { kind: "throttle", target, count: 1 },
];

drillOnEach("every message ends as it should, handled once, while links, locks, settlements, tokens and the namespace fail", async (t, transport) => {
  const drill = await startDrill(t, transport);
  await drill.send(60);
  await eventually("the worker to be at work", () => drill.handled() > 10, 30_000);
  for (const fault of faults) await drill.addFault(fault);
  await drill.send(240);
  await drill.assertSound(90_000);
});

drillOnEach("every message ends as it should, handled once, over a restart of the broker in the middle of the work", async (t, transport) => {
  const drill = await startDrill(t, transport);
  await drill.send(300);
  await eventually("the worker to be at work", () => drill.handled() > 50, 30_000);
  await drill.restartBroker();
  await drill.send(60);
  await drill.assertSound(60_000);
});

drillOnEach("a connection that goes silent is noticed and made again, and nothing is lost", async (t, transport) => {
  const drill = await startDrill(t, transport);
  await drill.send(60);
  await eventually("the worker to be at work", () => drill.handled() > 10, 30_000);
  drill.mute();
  await drill.send(60);
  await drill.assertSound(90_000);
});
