// One peer in a process of its own. Its parameters: the peer's name and its options, as JSON. Ends with SIGTERM.
import { startBareRhea, startBareSdk } from "./bare.ts";
import { startBullMq, startBullMqSandboxed } from "./bullmq.ts";
import type { PeerOptions, StartPeer } from "./peer.ts";
import type { PeerName } from "./names.ts";
import { startReceiving } from "./receive-messages.ts";
import { startSubscribed } from "./subscribe.ts";

const tunedCalls = 200;
const peers: Readonly<Record<PeerName, StartPeer>> = {
  subscribe: (options) => startSubscribed(options, undefined),
  "subscribe-200": (options) => startSubscribed(options, tunedCalls),
  "receive-messages": startReceiving,
  bullmq: startBullMq,
  "bullmq-sandboxed": startBullMqSandboxed,
  "bare-sdk": startBareSdk,
  "bare-rhea": startBareRhea,
};

const [name = "", options = ""] = process.argv.slice(2);
const running = await peers[name as PeerName](JSON.parse(options) as PeerOptions);
process.once("SIGTERM", () => {
  // Some clients leave timers behind; whoever stops a peer has all it wanted.
  void running.stop().finally(() => process.exit());
});
process.send?.({ type: "ready" });
