// An OpenTelemetry collector that keeps what it gets: spans by OTLP over HTTP, as JSON.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { text } from "node:stream/consumers";

interface OtlpValue {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values: readonly OtlpValue[] };
}

interface OtlpAttribute {
  readonly key: string;
  readonly value: OtlpValue;
}

export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  readonly status: { readonly code: number };
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Of the worker that it is from. */
  readonly resource: Readonly<Record<string, unknown>>;
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<ReceivedSpan, "attributes" | "resource"> & { readonly attributes: readonly OtlpAttribute[] })[];
    }[];
  }[];
}

export interface OtlpReceiver {
  readonly url: string;
  readonly spans: ReceivedSpan[];
  readonly logs: ReceivedLog[];
  /** All that came, as it came. */
  readonly bodies: string[];
  /** What it answers from now on; 200 at first. */
  status: number;
  /** For a process that is to send its spans here. */
  readonly env: Readonly<Record<string, string>>;
}

function plain(value: OtlpValue): unknown {
  if (value.arrayValue !== undefined) return value.arrayValue.values.map(plain);
  return value.stringValue ?? value.boolValue ?? value.doubleValue ?? (value.intValue === undefined ? undefined : Number(value.intValue));
}

function record(attributes: readonly OtlpAttribute[]): Readonly<Record<string, unknown>> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));
}

export interface ReceivedLog {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly severityNumber: number;
  readonly eventName?: string;
  readonly body: unknown;
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface OtlpLogs {
  readonly resourceLogs: readonly {
    readonly scopeLogs: readonly {
      readonly logRecords: readonly (Omit<ReceivedLog, "attributes" | "body"> & { readonly body: OtlpValue; readonly attributes: readonly OtlpAttribute[] })[];
    }[];
  }[];
}

function logsIn(body: string): readonly ReceivedLog[] {
  return (JSON.parse(body) as OtlpLogs).resourceLogs
    .flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords))
    .map((log) => ({ ...log, body: plain(log.body), attributes: record(log.attributes) }));
}

/** It ends with the test. */
export async function startOtlpReceiver(t: TestContext): Promise<OtlpReceiver> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      response.writeHead(receiver.status, { "content-type": "application/json" }).end("{}");
      if (receiver.status !== 200) return;
      receiver.bodies.push(body);
      if (request.url === "/v1/logs") return void receiver.logs.push(...logsIn(body));
      for (const { resource, scopeSpans } of (JSON.parse(body) as OtlpRequest).resourceSpans)
        for (const span of scopeSpans.flatMap(({ spans }) => spans))
          receiver.spans.push({ ...span, links: span.links ?? [], attributes: record(span.attributes), resource: record(resource.attributes) });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json", OTEL_BSP_SCHEDULE_DELAY: "20" };
  const receiver: OtlpReceiver = { url, spans: [], logs: [], bodies: [], status: 200, env };
  return receiver;
}

/** The spans below one, a line each, `!` for those that failed. Siblings stand in the order of their names: clocks tell milliseconds. */
export function treeOf(spans: readonly ReceivedSpan[], parentSpanId: string, depth = 0): string[] {
  const children = spans.filter((span) => (span.parentSpanId ?? "") === parentSpanId);
  return children
    .toSorted((one, other) => one.name.localeCompare(other.name))
    .flatMap((span) => [`${"  ".repeat(depth)}${span.name}${span.status.code === 2 ? " !" : ""}`, ...treeOf(spans, span.spanId, depth + 1)]);
}
