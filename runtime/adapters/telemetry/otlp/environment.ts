/** What OpenTelemetry's environment variables say of the export of traces and of the log; where it goes, the exporters read themselves. */
import { ConfigurationError } from "../../../core/errors.ts";
import type { SamplingPolicy } from "../../../core/spans.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Not `grpc`, which would bring a library of its own for the same spans. */
const protocols = ["http/protobuf", "http/json"] as const;
export type OtlpProtocol = (typeof protocols)[number];

const endpointNames = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/** What is exported. */
export type Signal = "TRACES" | "LOGS";
const queuePrefixes: Readonly<Record<Signal, string>> = { TRACES: "OTEL_BSP", LOGS: "OTEL_BLRP" };

/** Set to nothing is as if it was not set. */
function said(environment: Environment, names: readonly string[]): { readonly name: string; readonly value: string } | undefined {
  const name = names.find((name) => (environment[name] ?? "").trim() !== "");
  return name === undefined ? undefined : { name, value: (environment[name] ?? "").trim() };
}

function refuse(name: string, expected: string, found: string): never {
  throw new ConfigurationError(`${name}: expected ${expected}, got '${found}'`);
}

/** Whether traces are to be exported: somebody has said where to, or that they are. */
export function exportsTraces(environment: Environment): boolean {
  if (said(environment, ["OTEL_SDK_DISABLED"])?.value.toLowerCase() === "true") return false;
  return exporterOf(environment, "TRACES") ?? said(environment, endpointNames) !== undefined;
}

/** Whether the log is to be exported: a place for traces alone is none for the log, which goes to standard error in any case. */
export function exportsLogs(environment: Environment): boolean {
  if (said(environment, ["OTEL_SDK_DISABLED"])?.value.toLowerCase() === "true") return false;
  return exporterOf(environment, "LOGS") ?? said(environment, ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]) !== undefined;
}

/** Undefined where nobody says. */
function exporterOf(environment: Environment, signal: Signal): boolean | undefined {
  const exporter = said(environment, [`OTEL_${signal}_EXPORTER`]);
  if (exporter === undefined) return undefined;
  if (exporter.value !== "otlp" && exporter.value !== "none") refuse(exporter.name, "otlp or none", exporter.value);
  return exporter.value === "otlp";
}

export function protocolOf(environment: Environment, signal: Signal): OtlpProtocol {
  const found = said(environment, [`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`, "OTEL_EXPORTER_OTLP_PROTOCOL"]);
  if (found === undefined) return "http/protobuf";
  return protocols.find((protocol) => protocol === found.value) ?? refuse(found.name, protocols.join(" or "), found.value);
}

/** How spans, or lines, wait for their export. */
export interface ExportQueue {
  readonly queueMax: number;
  readonly batchMax: number;
  /** From the first of a batch to its export. */
  readonly delayMs: number;
}

/** As OpenTelemetry has them. */
const delaysMs: Readonly<Record<Signal, number>> = { TRACES: 5_000, LOGS: 1_000 };

function count(environment: Environment, name: string, otherwise: number): number {
  const value = said(environment, [name])?.value;
  if (value === undefined) return otherwise;
  const number = Number(value);
  return Number.isInteger(number) && number > 0 ? number : refuse(name, "a whole number above 0", value);
}

export function exportQueueOf(environment: Environment, signal: Signal): ExportQueue {
  const prefix = queuePrefixes[signal];
  const queueMax = count(environment, `${prefix}_MAX_QUEUE_SIZE`, 2_048);
  const batchMax = Math.min(queueMax, count(environment, `${prefix}_MAX_EXPORT_BATCH_SIZE`, 512));
  return { queueMax, batchMax, delayMs: count(environment, `${prefix}_SCHEDULE_DELAY`, delaysMs[signal]) };
}

const samplers: ReadonlyMap<string, Partial<SamplingPolicy>> = new Map([
  ["always_on", { ratio: 1, followParent: false }],
  ["always_off", { ratio: 0, followParent: false }],
  ["traceidratio", { followParent: false }],
  ["parentbased_always_on", { ratio: 1, followParent: true }],
  ["parentbased_always_off", { ratio: 0, followParent: true }],
  ["parentbased_traceidratio", { followParent: true }],
]);

/** What the sampler that is named there comes to; of what went wrong or took long all is told whatever it is. */
export function samplerOf(environment: Environment): Partial<Pick<SamplingPolicy, "ratio" | "followParent">> {
  const name = said(environment, ["OTEL_TRACES_SAMPLER"])?.value;
  if (name === undefined) return {};
  const sampler = samplers.get(name) ?? refuse("OTEL_TRACES_SAMPLER", [...samplers.keys()].join(", "), name);
  const argument = said(environment, ["OTEL_TRACES_SAMPLER_ARG"])?.value;
  if (sampler.ratio !== undefined) return sampler;
  // As OpenTelemetry has it.
  if (argument === undefined) return { ...sampler, ratio: 1 };
  const ratio = Number(argument);
  return ratio >= 0 && ratio <= 1 ? { ...sampler, ratio } : refuse("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", argument);
}
