// What was settled in one tick, written as few dispositions as are true.
//
// A disposition says one thing of every delivery from `first` to `last` (part 2, 2.7.6). So deliveries may share one only
// when their ids follow one another without a gap AND they get exactly the same: the same state, byte for byte, and
// the same `settled`. Everything of a tick is collected in one group for each such thing that is said; then each group is
// sorted by serial number and written as its contiguous runs. The order in which deliveries finished does not matter, and
// what differs is never merged.
//
//   accepted 7, 5 · rejected 6 · accepted 4, 8   →   accepted 4..5, accepted 7..8, rejected 6
//
// A delivery may be told two things in one tick, an unsettled state and then that it is settled; so the unsettled groups
// are written first.
import type { DeliveryState } from "../message/delivery-state.ts";
import type { Output } from "../frame/output.ts";
import { frameType } from "../frame/frames.ts";
import { writeDisposition } from "../frame/transfers.ts";

const idsAtFirst = 64;
const half = 0x8000_0000;

/** The deliveries that get the same disposition. */
class Group {
  readonly state: DeliveryState | undefined;
  readonly settled: boolean;
  ids: Uint32Array = new Uint32Array(idsAtFirst);
  count = 0;
  /** Whether each id is the one before it plus one, or lies after it. */
  inOrder = true;

  constructor(state: DeliveryState | undefined, settled: boolean) {
    this.state = state;
    this.settled = settled;
  }

  add(id: number): void {
    if (this.count === this.ids.length) {
      const larger = new Uint32Array(this.count * 2);
      larger.set(this.ids);
      this.ids = larger;
    }
    if (this.count > 0 && ((id - this.ids[this.count - 1]!) | 0) <= 0) this.inOrder = false;
    this.ids[this.count++] = id;
  }

  /** Sorts by serial number: all ids lie within half the circle around the first, so their offsets from its far side have an order. */
  sort(): void {
    if (this.inOrder) return;
    const base = (this.ids[0]! - half) >>> 0;
    const { ids, count } = this;
    for (let i = 0; i < count; i++) ids[i] = ids[i]! - base;
    ids.subarray(0, count).sort();
    for (let i = 0; i < count; i++) ids[i] = ids[i]! + base;
  }
}

export class DispositionBatch {
  readonly #asReceiver: boolean;
  #unsettled = new Map<string, Group>();
  #settled = new Map<string, Group>();
  /** The group that was added to last; most deliveries go where the one before went. */
  #recent: Group | undefined;

  /** `asReceiver`: the deliveries came in. */
  constructor(asReceiver: boolean) {
    this.#asReceiver = asReceiver;
  }

  get isEmpty(): boolean {
    return this.#recent === undefined;
  }

  add(id: number, state: DeliveryState | undefined, settled: boolean): void {
    let group = this.#recent;
    if (group === undefined || group.state !== state || group.settled !== settled) {
      group = this.#groupOf(state, settled);
      this.#recent = group;
    }
    group.add(id);
  }

  #groupOf(state: DeliveryState | undefined, settled: boolean): Group {
    const groups = settled ? this.#settled : this.#unsettled;
    const key = state?.key ?? "";
    let group = groups.get(key);
    if (group === undefined) {
      group = new Group(state, settled);
      groups.set(key, group);
    }
    return group;
  }

  /** Writes everything that was added, and forgets it. */
  write(output: Output, channel: number): void {
    if (this.#recent === undefined) return;
    this.#recent = undefined;
    for (const group of this.#unsettled.values()) this.#writeGroup(group, output, channel);
    for (const group of this.#settled.values()) this.#writeGroup(group, output, channel);
    this.#unsettled.clear();
    this.#settled.clear();
  }

  #writeGroup(group: Group, output: Output, channel: number): void {
    group.sort();
    const { ids, count } = group;
    for (let i = 0; i < count;) {
      const first = ids[i]!;
      let last = first;
      while (++i < count && ids[i] === (last + 1) >>> 0) last = ids[i]!;
      output.beginFrame(frameType.amqp, channel);
      writeDisposition(output, this.#asReceiver, first, last, group.settled, group.state);
      output.endFrame(0);
    }
  }
}
