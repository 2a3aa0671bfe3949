import { strict as assert } from "node:assert";
import { totalmem } from "node:os";
import { test } from "node:test";
import { shareMemory } from "#runtime/adapters/system/memory.ts";

const mib = 1024 ** 2;
const idleBytes = 160 * mib;

test("bodies, the heaps of all threads and that of the main one fit together beside an idle worker", () => {
  for (const limitMb of [512, 1_024, 2_048, 8_192])
    for (const threads of [1, 2, 4]) {
      const { heldBytes, threadHeapBytes } = shareMemory({ memoryBytesMax: limitMb * mib }, threads);
      assert.ok(heldBytes + (threads + 1) * threadHeapBytes + idleBytes <= limitMb * mib, `${limitMb} MiB, ${threads} threads: ${threadHeapBytes}`);
    }
  assert.deepEqual(shareMemory({ memoryBytesMax: 512 * mib }, 1), {
    limitBytes: 512 * mib,
    limitedBy: "memoryBytesMax",
    heldBytes: 88 * mib,
    threadHeapBytes: 132 * mib,
    mainHeapBytes: 132 * mib,
  });
});

test("a thread has the heap that its plugins need, however little there is, and no more than V8 can do with by itself", () => {
  assert.equal(shareMemory({ memoryBytesMax: 128 * mib }, 4).threadHeapBytes, 48 * mib);
  assert.equal(shareMemory({ memoryBytesMax: 1_024 ** 2 * mib }, 4).threadHeapBytes, 4_096 * mib);
});

test("what is configured is taken as it is, and the rest shared out of what is left", () => {
  const shares = shareMemory({ memoryBytesMax: 512 * mib, heldBytesMax: 152 * mib }, 1);
  assert.deepEqual([shares.heldBytes, shares.threadHeapBytes], [152 * mib, 100 * mib]);
  assert.equal(shareMemory({ memoryBytesMax: 512 * mib, threadHeapBytesMax: 300 * mib }, 1).threadHeapBytes, 300 * mib);
});

test("without a limit the machine's memory is shared out", () => {
  const { limitBytes, limitedBy } = shareMemory({}, 2);
  assert.ok(limitedBy === "machine" ? limitBytes === totalmem() : limitBytes < totalmem(), `${limitedBy}: ${limitBytes}`);
});
