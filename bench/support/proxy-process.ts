// Fault proxies in a process of their own, so that they cost those that are measured nothing but the trouble.
import { drawsOf } from "#load/generator/draw.ts";
import { FaultProxy } from "#load/faults/proxy.ts";
import type { ToxicInput } from "#load/faults/toxics.ts";
import { serve } from "./serve.ts";

const proxies = new Map<number, FaultProxy>();

function proxyAt(port: number): FaultProxy {
  const proxy = proxies.get(port);
  if (proxy === undefined) throw new Error(`expected the port of a proxy, one of ${[...proxies.keys()].join(", ")}; found ${port}`);
  return proxy;
}

const calls = {
  /** Opens a proxy to a port of this machine; returns its own. */
  async open(targetPort: number, seed: number): Promise<number> {
    const draw = drawsOf(seed);
    let drawn = 0;
    const proxy = await FaultProxy.start({ targetPort, random: () => draw(drawn++, 0) });
    proxies.set(proxy.port, proxy);
    return proxy.port;
  },
  add: (port: number, toxic: ToxicInput): Promise<number> => proxyAt(port).add(toxic),
  remove: (port: number, id: number): Promise<void> => proxyAt(port).remove(id),
  clear: (port: number): Promise<void> => proxyAt(port).clear(),
  retarget: (port: number, targetPort: number): void => proxyAt(port).retarget(targetPort),
};
export type ProxyCalls = typeof calls;

serve(calls, () => Promise.all([...proxies.values()].map((proxy) => proxy.stop())));
