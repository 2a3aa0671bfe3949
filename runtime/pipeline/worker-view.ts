/** What anyone may see of a running worker. */
import type { GateView } from "../policy/admission.ts";
import type { CredentialView } from "../policy/credential-watch.ts";
import type { LoadSheddingView } from "../policy/load-shedding.ts";
import type { LoopState } from "../policy/loop-watch.ts";
import type { MemoryState } from "../policy/memory-watch.ts";
import type { RetryBudgetView } from "../policy/retry-budget.ts";
import type { DoubtView } from "../policy/store-doubt.ts";
import type { ThreadsView } from "../ports/executor.ts";
import type { IntakeView } from "./intake-watch.ts";
import type { LatenciesView } from "./latency.ts";
import type { SourceView } from "./source-pipelines.ts";

export interface WorkerView {
  readonly inFlight: number;
  readonly executing: number;
  readonly storeUp: boolean;
  /** What is in doubt because the store has lost records; empty while nothing is. */
  readonly storeSuspect: readonly DoubtView[];
  /** Logins whose token could not be replaced when it was last tried. */
  readonly credentials: readonly CredentialView[];
  readonly memory: MemoryState;
  readonly loop: LoopState;
  readonly threadsReady: boolean;
  /** Somebody has it take no messages. */
  readonly isPaused: boolean;
  readonly threads: ThreadsView;
  /** The longest delay of the event loop within the last looks. */
  readonly loopDelayMs: number;
  /** How often receiver or connection were replaced since a message last came, or could have come. */
  readonly rebuiltInVain: number;
  readonly gates: readonly GateView[];
  readonly retryBudget: RetryBudgetView;
  readonly loadShedding: LoadSheddingView;
  readonly latency: LatenciesView;
  readonly intake: readonly IntakeView[];
  readonly sources: readonly SourceView[];
  /** Since the start. */
  readonly locksRenewed: number;
  /** Bytes of the bodies that are held. */
  readonly heldBytes: number;
}
