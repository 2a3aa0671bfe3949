/** Who and what is measured, by name: for commands, which load nothing else. */
export type PeerName = "subscribe" | "subscribe-200" | "receive-messages" | "bullmq" | "bullmq-sandboxed" | "bare-sdk" | "bare-rhea";

export const peerTitles: Readonly<Record<PeerName, string>> = {
  subscribe: "subscribe as it comes + SET NX",
  "subscribe-200": "subscribe, 200 calls + SET NX",
  "receive-messages": "receiveMessages(500) + pipelined SET NX",
  bullmq: "BullMQ, concurrency 100",
  "bullmq-sandboxed": "BullMQ, sandboxed",
  "bare-sdk": "bare SDK, no work: receive 500, complete",
  "bare-rhea": "bare rhea, no work",
};

export type ContenderKey = "holdfast" | "holdfast-sqlite" | PeerName;
export const contenderKeys: readonly ContenderKey[] = ["holdfast", "holdfast-sqlite", ...(Object.keys(peerTitles) as PeerName[])];

export const shapeNames = ["no-op", "async-1ms", "cpu-100us", "cpu-1ms", "steps", "three-steps", "mixed"] as const;
export type ShapeName = (typeof shapeNames)[number];
