/** All scenarios, in the order in which they are played. */
import type { Scenario } from "./scenario.ts";
import { atMostOnce } from "./scenarios/at-most-once.ts";
import { batch } from "./scenarios/batch.ts";
import { deadLetter } from "./scenarios/dead-letter.ts";
import { drain } from "./scenarios/drain.ts";
import { duplicate } from "./scenarios/duplicate.ts";
import { exhausted } from "./scenarios/exhausted.ts";
import { fallback } from "./scenarios/fallback.ts";
import { lostLock } from "./scenarios/lost-lock.ts";
import { lostThread } from "./scenarios/lost-thread.ts";
import { postponement } from "./scenarios/postponement.ts";
import { publish } from "./scenarios/publish.ts";
import { queryable } from "./scenarios/queryable.ts";
import { replay } from "./scenarios/replay.ts";
import { resend } from "./scenarios/resend.ts";
import { retryByCopy } from "./scenarios/retry-by-copy.ts";
import { retryInPlace } from "./scenarios/retry-in-place.ts";
import { saga } from "./scenarios/saga.ts";
import { sagaFailed } from "./scenarios/saga-failed.ts";
import { storeOutage } from "./scenarios/store-outage.ts";
import { success } from "./scenarios/success.ts";
import { suspectMode } from "./scenarios/suspect-mode.ts";

export const scenarios: readonly Scenario[] = [
  success,
  batch,
  retryInPlace,
  retryByCopy,
  exhausted,
  fallback,
  duplicate,
  postponement,
  publish,
  atMostOnce,
  queryable,
  deadLetter,
  resend,
  replay,
  saga,
  sagaFailed,
  drain,
  storeOutage,
  suspectMode,
  lostLock,
  lostThread,
];
