/**
 * Every metric of a worker, in one table; runtime/METRICS.md shows it. By the conventions of Prometheus: base units (seconds, bytes),
 * `_total` for what only grows. Each label has few values, which come from the configuration, from what is registered, or from code;
 * what a skill can make up (a failure's code, a reason) is cut off after `valuesMax` values. No id of an event is ever a label.
 */
export interface MetricRow {
  readonly type: "counter" | "gauge" | "histogram";
  readonly labels: readonly string[];
  readonly unit:
    | "seconds"
    | "bytes"
    | "messages"
    | "runs"
    | "calls"
    | "steps"
    | "tokens"
    | "money"
    | "threads"
    | "workers"
    | "places"
    | "events"
    | "locks"
    | "ratio"
    | "state";
  readonly help: string;
}

/** What comes after so many values of a label that others can make up is counted as `other`. */
export const valuesMax = 100;
export const otherValue = "other";

/** Upper bounds of the buckets of durations: 1 ms to 10 min, three to a factor of ten up to 10 s, then by what is told apart by people. */
export const durationBucketsSeconds: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

const rows = {
  holdfast_messages_total: {
    type: "counter",
    labels: ["skill", "outcome"],
    unit: "messages",
    help: "Deliveries that have ended, by how: completed, duplicate, dead-lettered, retried, postponed, released, dropped. The skill is empty for those that reached none.",
  },
  holdfast_messages_received_total: { type: "counter", labels: ["source"], unit: "messages", help: "Deliveries that were taken from a source." },
  holdfast_critical_time_seconds: {
    type: "histogram",
    labels: ["skill"],
    unit: "seconds",
    help: "From the broker's enqueue time of a delivery to its settlement, of those that completed.",
  },
  holdfast_processing_seconds: {
    type: "histogram",
    labels: ["skill"],
    unit: "seconds",
    help: "How long executions took in their threads, however they ended.",
  },
  holdfast_lane_wait_seconds: {
    type: "histogram",
    labels: ["skill"],
    unit: "seconds",
    help: "How long deliveries that ended had waited in lanes: for bulkheads, limits, a slot of their skill, the turn of their source.",
  },
  holdfast_completed_after_retry_total: {
    type: "counter",
    labels: ["skill"],
    unit: "runs",
    help: "Runs that completed in another execution than their first.",
  },
  holdfast_run_failures_total: {
    type: "counter",
    labels: ["skill", "class"],
    unit: "runs",
    help: "Executions that failed, and messages that were refused before one began, by the class of the failure.",
  },
  holdfast_refused_messages_total: {
    type: "counter",
    labels: ["reason"],
    unit: "messages",
    help: "Messages that failed validation: envelope, size, type, version, payload; by reason.",
  },
  holdfast_retries_total: { type: "counter", labels: ["skill"], unit: "runs", help: "Retries that were decided, in place or as a copy." },
  holdfast_postponements_total: { type: "counter", labels: ["why"], unit: "messages", help: "Messages that were put off without being tried." },
  holdfast_dead_letters_total: { type: "counter", labels: ["skill", "reason"], unit: "messages", help: "Messages that were dead-lettered, by reason." },
  holdfast_revived_total: {
    type: "counter",
    labels: ["by"],
    unit: "runs",
    help: "Runs that had been given up and were brought back, by a replay or a resend.",
  },
  holdfast_runs_resumed_total: { type: "counter", labels: ["skill"], unit: "runs", help: "Runs that went on behind a checkpoint of an earlier execution." },
  holdfast_checkpoints_total: { type: "counter", labels: [], unit: "steps", help: "Steps that were written to the run store: intents and results." },
  holdfast_compensations_total: { type: "counter", labels: ["skill", "outcome"], unit: "steps", help: "Compensations of steps that have ended." },
  holdfast_fallbacks_total: {
    type: "counter",
    labels: ["skill", "quality"],
    unit: "steps",
    help: "Steps that a fallback answered, by the quality of its answer.",
  },
  holdfast_locks_lost_total: {
    type: "counter",
    labels: ["where"],
    unit: "locks",
    help: "Locks that were lost before their message was settled, and where that was noticed.",
  },
  holdfast_locks_renewed_total: { type: "counter", labels: [], unit: "locks", help: "Locks of messages that were renewed." },
  holdfast_dependency_calls_total: {
    type: "counter",
    labels: ["dependency", "result"],
    unit: "calls",
    help: "Executions by how their calls of a dependency went; the worst call counts, as it does for the circuit.",
  },
  holdfast_dependency_requests_total: {
    type: "counter",
    labels: ["dependency"],
    unit: "calls",
    help: "Requests that were made of a limited dependency, retries within calls included.",
  },
  holdfast_dependency_tokens_total: {
    type: "counter",
    labels: ["dependency"],
    unit: "tokens",
    help: "Tokens, or what else the calls said they used, of a limited dependency.",
  },
  holdfast_model_tokens_total: {
    type: "counter",
    labels: ["dependency", "kind"],
    unit: "tokens",
    help: "Tokens that the answers of a generative model say they took, input and output, limited or not.",
  },
  holdfast_model_cost_total: {
    type: "counter",
    labels: ["dependency"],
    unit: "money",
    help: "What these tokens cost by the prices in the definition of the dependency, in their currency; 0 where it has none.",
  },
  holdfast_circuit_state: {
    type: "gauge",
    labels: ["dependency", "state"],
    unit: "state",
    help: "1 for the state that the circuit of a dependency is in: closed, open, half-open, isolated; 0 for the others.",
  },
  holdfast_circuit_changes_total: {
    type: "counter",
    labels: ["dependency", "state"],
    unit: "events",
    help: "Changes of a circuit, by the state that it came to.",
  },
  holdfast_settings_changes_total: {
    type: "counter",
    labels: ["from", "state"],
    unit: "events",
    help: "Live settings that were read, by where from and what became of them: applied, refused, rolled-back.",
  },
  holdfast_secret_changes_total: {
    type: "counter",
    labels: ["state"],
    unit: "events",
    help: "New values of secrets that lie elsewhere, by what became of them: replaced, refused.",
  },
  holdfast_bulkhead_in_use: { type: "gauge", labels: ["dependency"], unit: "places", help: "Slots of a bulkhead that are taken." },
  holdfast_bulkhead_slots: { type: "gauge", labels: ["dependency"], unit: "places", help: "Slots that a bulkhead has." },
  holdfast_bulkhead_rejected_total: {
    type: "counter",
    labels: ["dependency"],
    unit: "runs",
    help: "Runs that began without a slot, because the bulkhead rejects what finds it full.",
  },
  holdfast_lane_waiting: { type: "gauge", labels: ["dependency"], unit: "runs", help: "Runs that wait in the lane of a bulkhead." },
  holdfast_lane_places: { type: "gauge", labels: ["dependency"], unit: "places", help: "Runs that the lane of a bulkhead takes now." },
  holdfast_limit_waiting: { type: "gauge", labels: ["dependency", "by"], unit: "runs", help: "Runs that wait for a limit, over all its keys." },
  holdfast_limit_postponed_total: {
    type: "counter",
    labels: ["dependency", "by"],
    unit: "runs",
    help: "Runs that were postponed because a limit was used up.",
  },
  holdfast_retry_budget_left: { type: "gauge", labels: [], unit: "calls", help: "Retries that the budget of the worker would grant now." },
  holdfast_retry_budget_granted_total: {
    type: "counter",
    labels: ["of"],
    unit: "calls",
    help: "Retries that the budget granted: of runs in place, and of calls within runs.",
  },
  holdfast_retry_budget_refused_total: { type: "counter", labels: ["of"], unit: "calls", help: "Retries that the budget refused." },
  holdfast_load_shed_total: {
    type: "counter",
    labels: ["priority"],
    unit: "messages",
    help: "Messages that were given back so that more important ones are run.",
  },
  holdfast_lag_seconds: {
    type: "gauge",
    labels: ["source"],
    unit: "seconds",
    help: "Since when the youngest message that is held from a source was enqueued: how far behind its queue the worker is; 0 while none is held.",
  },
  holdfast_queue_messages: {
    type: "gauge",
    labels: ["source", "state"],
    unit: "messages",
    help: "Messages that lie at the broker: active (those that are locked among them), scheduled, dead-lettered. Asked every 15 s at most; absent where the worker has no right to ask (Manage).",
  },
  holdfast_oldest_held_seconds: {
    type: "gauge",
    labels: ["source"],
    unit: "seconds",
    help: "Since when the oldest message that is held from a source was enqueued; 0 while none is.",
  },
  holdfast_held_messages: { type: "gauge", labels: ["source"], unit: "messages", help: "Messages of a source that are held." },
  holdfast_credit: { type: "gauge", labels: ["source"], unit: "messages", help: "Messages that a source may still bring." },
  holdfast_source_up: { type: "gauge", labels: ["source"], unit: "state", help: "1 while nothing is known to be wrong with a source." },
  holdfast_window_messages: { type: "gauge", labels: ["source", "skill"], unit: "messages", help: "Messages of a skill that may be held from a source." },
  holdfast_window_held_messages: { type: "gauge", labels: ["source", "skill"], unit: "messages", help: "Messages of a skill that are held from a source." },
  holdfast_window_bound: {
    type: "gauge",
    labels: ["source", "skill", "bound"],
    unit: "state",
    help: "1 for what keeps this worker from taking more of a skill from a source, while it holds some: rate, memory, bulkhead, limit, order, ceiling; absent for the others.",
  },
  holdfast_skill_running: { type: "gauge", labels: ["skill"], unit: "runs", help: "Runs of a skill that are under way." },
  holdfast_skill_slots: { type: "gauge", labels: ["skill"], unit: "places", help: "Runs of a skill that may be under way at once." },
  holdfast_skill_waiting: { type: "gauge", labels: ["skill"], unit: "runs", help: "Runs of a skill that wait for another of it to end; they are in no lane." },
  holdfast_skill_loop_seconds_total: {
    type: "counter",
    labels: ["skill"],
    unit: "seconds",
    help: "For how long code of a skill has held the event loops of threads. Its rate over the threads says how busy the skill keeps them.",
  },
  holdfast_skill_still_seconds: {
    type: "gauge",
    labels: ["skill"],
    unit: "seconds",
    help: "For how long runs of a skill have been under way and none has ended. Far longer than they take: they hang, most often in a dependency.",
  },
  holdfast_executing_runs: { type: "gauge", labels: [], unit: "runs", help: "Runs that are in a thread." },
  holdfast_held_bytes: { type: "gauge", labels: [], unit: "bytes", help: "Bytes of the bodies that are held." },
  holdfast_threads: {
    type: "gauge",
    labels: ["state"],
    unit: "threads",
    help: "Skill threads that are configured, stuck, leaked, or missing because they could not be replaced.",
  },
  holdfast_event_loop_delay_seconds: { type: "gauge", labels: [], unit: "seconds", help: "The longest delay of the main thread's event loop lately." },
  holdfast_event_loop_utilization_ratio: {
    type: "gauge",
    labels: [],
    unit: "ratio",
    help: "Part of the time since the last scrape in which the main thread's event loop was busy.",
  },
  holdfast_store_up: { type: "gauge", labels: [], unit: "state", help: "1 while the run store answers." },
  holdfast_store_suspect: {
    type: "gauge",
    labels: [],
    unit: "state",
    help: "1 while events are handled with care because the store may have lost what it knew of them.",
  },
  holdfast_store_call_seconds: { type: "histogram", labels: ["call"], unit: "seconds", help: "Round trips to the run store, by what was asked." },
  holdfast_store_call_failures_total: { type: "counter", labels: ["call"], unit: "calls", help: "Round trips to the run store that failed." },
  holdfast_store_entries_total: {
    type: "counter",
    labels: ["call"],
    unit: "runs",
    help: "Runs that the round trips to the run store were about: divided by their number, how many go together.",
  },
  holdfast_recovery_seconds: {
    type: "histogram",
    labels: ["what"],
    unit: "seconds",
    help: "How long the store, a source or the transport was away each time, until it was back.",
  },
  holdfast_runtime_events_total: { type: "counter", labels: ["type"], unit: "events", help: "Everything that the runtime reports about itself, by type." },
  holdfast_admin_changes_total: {
    type: "counter",
    labels: ["operation", "result"],
    unit: "calls",
    help: "Changes that were asked for over the admin API, by what became of them.",
  },
  holdfast_admin_request_seconds: {
    type: "histogram",
    labels: ["operation"],
    unit: "seconds",
    help: "How long the admin server took to answer, by the operation's name in the API, livez, readyz, startupz or metrics; refusals are among them.",
  },
  holdfast_probe_seconds: {
    type: "histogram",
    labels: ["source", "stage"],
    unit: "seconds",
    help: "How long probes that this worker sent took, by stage: send, queue, claim, run, settle; and total, which is their critical time. They are in no other count.",
  },
  holdfast_probes_total: {
    type: "counter",
    labels: ["source", "result"],
    unit: "events",
    help: "Probes that this worker sent, by what became of them: completed, passed-by (settled by a worker that does not know its version), failed, timed-out. One that comes late counts as both.",
  },
  holdfast_probe_last_success_timestamp_seconds: {
    type: "gauge",
    labels: ["source"],
    unit: "seconds",
    help: "When a probe of this worker last completed, in Unix time; absent while none has.",
  },
  holdfast_scale_workers: {
    type: "gauge",
    labels: ["for"],
    unit: "workers",
    help: "Workers that this one asks for: for `runs` all workers' together, for the `backlog` their average beside it; the two together is how many the pool should have.",
  },
  holdfast_waiting_work_seconds: {
    type: "gauge",
    labels: [],
    unit: "seconds",
    help: "How long the messages that nobody holds would take, one after the other; of the queues, not of this worker.",
  },
  holdfast_safe_concurrency: { type: "gauge", labels: [], unit: "runs", help: "Runs that this worker can have under way at once, of the mix that it has." },
  holdfast_bottleneck: {
    type: "gauge",
    labels: ["bottleneck"],
    unit: "state",
    help: "1 for what keeps this worker from doing more: none, threads, memory, loop, bulkhead, circuit, limit, store, broker; 0 for the others.",
  },
  holdfast_ready: { type: "gauge", labels: [], unit: "state", help: "1 while new messages are taken." },
  holdfast_process_cpu_seconds_total: { type: "counter", labels: [], unit: "seconds", help: "CPU time of the process, user and system, threads included." },
  holdfast_process_resident_memory_bytes: { type: "gauge", labels: [], unit: "bytes", help: "Resident memory of the process." },
  holdfast_process_heap_bytes: { type: "gauge", labels: [], unit: "bytes", help: "Heap of the main thread that is in use." },
  holdfast_process_start_time_seconds: { type: "gauge", labels: [], unit: "seconds", help: "When the process started, in Unix time." },
} as const;

export type MetricName = keyof typeof rows;

export const metricCatalogue: Readonly<Record<MetricName, MetricRow>> = rows;

export const metricNames: readonly MetricName[] = Object.keys(metricCatalogue) as MetricName[];

/** One value of a metric that is no histogram. */
export interface MetricSample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
