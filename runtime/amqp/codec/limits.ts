// Everything a peer can make grow, and how far. Each limit has a default that suits a worker and a local broker; an owner
// changes single ones through `limits` in the options of a connection.

/** Bounds on what one peer can make this side hold or do. */
export interface Limits {
  /** Largest frame accepted, in bytes; announced in open. At least 512 (part 2, 2.8.19). Default 65 536. */
  readonly frameBytesMax: number;
  /** Largest SASL frame accepted, in bytes. The specification fixes 512 (part 5, 5.3.1). Default 512. */
  readonly saslFrameBytesMax: number;
  /** Sessions a peer may hold open at one time; announced as channel-max + 1. Default 256. */
  readonly sessionsMax: number;
  /** Links a peer may hold attached in one session; announced as handle-max + 1. Default 256. */
  readonly linksMax: number;
  /** Transfer frames a peer may send in one session before it is granted a new window. Default 8 192. */
  readonly incomingWindowFrames: number;
  /** Deliveries of one session that may be unsettled in each direction. Default 65 536. */
  readonly unsettledMax: number;
  /** Largest message accepted on a link that sets no maximum of its own, in bytes. Default 1 048 576. */
  readonly messageBytesMax: number;
  /** Bytes of messages that have only partly arrived, all links of a connection together. Default 67 108 864. */
  readonly partialBytesMax: number;
  /** Bytes of the attaches of a connection's links, which are kept as long as the links: names, termini, properties. Default 16 777 216. */
  readonly attachBytesMax: number;
  /** Bytes written but not taken by the peer from which on senders hold their deliveries back. Default 1 048 576. */
  readonly outputBytesHigh: number;
  /** Bytes written but not taken by the peer at which the connection is given up. Default 16 777 216. */
  readonly outputBytesMax: number;
  /** Shortest idle time-out of a peer that is honoured, in ms; a shorter one would be a flood of heartbeats. Default 100. */
  readonly idleTimeOutMsMin: number;
}

export const defaultLimits: Limits = {
  frameBytesMax: 65_536,
  saslFrameBytesMax: 512,
  sessionsMax: 256,
  linksMax: 256,
  incomingWindowFrames: 8_192,
  unsettledMax: 65_536,
  messageBytesMax: 1_048_576,
  partialBytesMax: 67_108_864,
  attachBytesMax: 16_777_216,
  outputBytesHigh: 1_048_576,
  outputBytesMax: 16_777_216,
  idleTimeOutMsMin: 100,
};

/** How deep described values, lists, maps and arrays may lie in one another. */
export const nestingMax = 32;

/** Elements one decoding may yield in all. */
export const elementsMax = 262_144;

/**
 * Elements of no width (null, true, uint 0, the empty list) one array may have. They cost a peer no bytes, so the bytes that
 * came bound nothing, and an array of one costs its owner as much as the array itself.
 */
export const widthlessElementsMax = 256;

/** Longest delivery tag (part 2, 2.8.7). */
export const tagBytesMax = 32;

/** Smallest max-frame-size a peer may announce, and what holds until it announces one (part 2, 2.8.19). */
export const frameBytesMin = 512;

/** The limits with an owner's changes, checked. */
export function resolveLimits(changes: Partial<Limits> | undefined): Limits {
  const limits = { ...defaultLimits, ...changes };
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1 || value > 0xffffffff) {
      throw new RangeError(`limit ${name}: expected a whole number from 1 to 4294967295, got ${value}`);
    }
  }
  if (limits.frameBytesMax < frameBytesMin) throw new RangeError(`limit frameBytesMax: expected at least ${frameBytesMin}, got ${limits.frameBytesMax}`);
  for (const name of ["sessionsMax", "linksMax"] as const) {
    if (limits[name] > 65_536) throw new RangeError(`limit ${name}: expected at most 65536, got ${limits[name]}`);
  }
  return limits;
}
