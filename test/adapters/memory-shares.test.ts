import { strict as assert } from "node:assert";
import { totalmem } from "node:os";
import { type TestContext, test } from "node:test";
import { memoryUseWithin, shareMemory } from "#runtime/adapters/system/memory.ts";

const mib = 1024 ** 2;
const idleBytes = 128 * mib;

/** As the system answers in a container of so much memory; 0 is what it says outside of one. */
function contain(t: TestContext, bytes: number): void {
  t.mock.method(process, "constrainedMemory", () => bytes);
}

test("bodies, the heaps of all threads and that of the main one fit together beside an idle worker", () => {
  for (const limitMb of [512, 1_024, 2_048, 8_192])
    for (const threads of [1, 2, 4]) {
      const { heldBytes, threadHeapBytes } = shareMemory({ memoryBytesMax: limitMb * mib }, threads);
      assert.ok(heldBytes + (threads + 1) * threadHeapBytes + idleBytes <= limitMb * mib, `${limitMb} MiB, ${threads} threads: ${threadHeapBytes}`);
    }
  assert.deepEqual(shareMemory({ memoryBytesMax: 512 * mib }, 1), {
    limitBytes: 512 * mib,
    limitedBy: "memoryBytesMax",
    heldBytes: 96 * mib,
    threadHeapBytes: 144 * mib,
    mainHeapBytes: 144 * mib,
  });
});

test("a thread has the heap that its plugins need, however little there is, and no more than V8 can do with by itself", () => {
  assert.equal(shareMemory({ memoryBytesMax: 128 * mib }, 4).threadHeapBytes, 48 * mib);
  assert.equal(shareMemory({ memoryBytesMax: 1_024 ** 2 * mib }, 4).threadHeapBytes, 4_096 * mib);
});

test("what is configured is taken as it is, and the rest shared out of what is left", () => {
  const shares = shareMemory({ memoryBytesMax: 512 * mib, heldBytesMax: 152 * mib }, 1);
  assert.deepEqual([shares.heldBytes, shares.threadHeapBytes], [152 * mib, 116 * mib]);
  assert.equal(shareMemory({ memoryBytesMax: 512 * mib, threadHeapBytesMax: 300 * mib }, 1).threadHeapBytes, 300 * mib);
});

test("the main thread has the part of a thread, and a quarter where that is more, whatever is configured for the others", () => {
  const mainOf = (limitMb: number, threads: number, threadHeapBytesMax?: number): number =>
    shareMemory({ memoryBytesMax: limitMb * mib, threadHeapBytesMax }, threads).mainHeapBytes / mib;
  assert.deepEqual([mainOf(512, 1), mainOf(512, 2), mainOf(4_096, 4)], [144, 128, 1_024]);
  assert.deepEqual([mainOf(512, 1, 300 * mib), mainOf(512, 1, 50 * mib)], [144, 144]);
});

test("there is room for one body of 4 MiB, however little there is", () => {
  assert.deepEqual(
    [64, 128, 143, 148].map((limitMb) => shareMemory({ memoryBytesMax: limitMb * mib }, 1).heldBytes / mib),
    [4, 4, 4, 5],
  );
});

test("in a container its limit is shared out, unless another one is configured", (t) => {
  contain(t, 512 * mib);
  assert.deepEqual(shareMemory({}, 1), { ...shareMemory({ memoryBytesMax: 512 * mib }, 1), limitedBy: "container" });
  const { limitBytes, limitedBy } = shareMemory({ memoryBytesMax: 256 * mib }, 1);
  assert.deepEqual([limitBytes, limitedBy], [256 * mib, "memoryBytesMax"]);
});

test("without a limit, or with one beyond what the machine has, the machine's memory is shared out", (t) => {
  for (const bytes of [0, totalmem(), 2 ** 63]) {
    contain(t, bytes);
    const { limitBytes, limitedBy } = shareMemory({}, 2);
    assert.deepEqual([limitBytes, limitedBy], [totalmem(), "machine"]);
    assert.equal(memoryUseWithin(undefined)(), undefined, "expected nothing to measure against");
  }
});

test("what is used is measured against the container's limit, or the one that is configured", (t) => {
  contain(t, 512 * mib);
  assert.deepEqual([memoryUseWithin(undefined)()?.limitBytes, memoryUseWithin(256 * mib)()?.limitBytes], [512 * mib, 256 * mib]);
  // Of a process of Node that does nothing, more than it begins with, and not what it has mapped.
  const usedBytes = memoryUseWithin(undefined)()?.usedBytes ?? 0;
  assert.ok(usedBytes > 4 * mib && usedBytes <= process.memoryUsage.rss() + mib, `${usedBytes}`);
});
