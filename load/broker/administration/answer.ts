// Answers one request of the administration API.
import type { Namespace } from "../entities/namespace.ts";
import type { Subscription } from "../entities/topic.ts";
import { type Description, entryXml, errorXml, feedXml } from "./atom.ts";
import { describeNamespace, describeQueue, describeSubscription, describeTopic } from "./descriptions.ts";

export interface AdministrationContext {
  readonly namespace: Namespace;
}

export interface Call {
  readonly method: string;
  /** Decoded, without slashes around it. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly ifMatch: string | undefined;
  readonly body: string;
  /** The scheme and host that the client called. */
  readonly base: string;
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Entities of one page at most, and by default. */
const pageMax = 100;

const subscriptionPattern = /^(.+)\/subscriptions\/([^/]+)$/i;
const subscriptionsPattern = /^(.+)\/subscriptions$/i;

export function answerAdministration(context: AdministrationContext, call: Call): Answer {
  if (call.method !== "GET") return refuse(405, `The method ${call.method} is not allowed.`);
  return read(context.namespace, call);
}

function read(namespace: Namespace, call: Call): Answer {
  const path = call.path.toLowerCase();
  if (path === "$namespaceinfo") return entry(call, describeNamespace(namespace, new URL(call.base).hostname));
  if (path === "$resources/queues") return page(call, [...namespace.queues.values()], describeQueue);
  if (path === "$resources/topics") return page(call, [...namespace.topics.values()], describeTopic);
  const topicOfList = namespace.topics.get(subscriptionsPattern.exec(path)?.[1] ?? "");
  if (topicOfList !== undefined) return page(call, [...topicOfList.subscriptions.values()], describeSubscription);
  const description = describe(namespace, path);
  return description === undefined ? notFound(call) : entry(call, description);
}

function describe(namespace: Namespace, path: string): Description | undefined {
  const queue = namespace.queues.get(path);
  if (queue !== undefined) return describeQueue(queue);
  const topic = namespace.topics.get(path);
  if (topic !== undefined) return describeTopic(topic);
  const subscription = subscriptionAt(namespace, path);
  return subscription === undefined ? undefined : describeSubscription(subscription);
}

function subscriptionAt(namespace: Namespace, path: string): Subscription | undefined {
  const [, topic = "", name = ""] = subscriptionPattern.exec(path) ?? [];
  return namespace.topics.get(topic)?.subscriptions.get(name);
}

function entry(call: Call, description: Description, status = 200): Answer {
  return { status, body: entryXml(call.base, description) };
}

function page<T>(call: Call, items: readonly T[], describeItem: (item: T) => Description): Answer {
  const skip = wholeOf(call.query.get("$skip"), 0);
  const top = Math.min(wholeOf(call.query.get("$top"), pageMax), pageMax);
  const next = skip + top < items.length ? `${call.path}?api-version=${call.query.get("api-version") ?? ""}&$skip=${skip + top}&$top=${top}` : undefined;
  return { status: 200, body: feedXml(call.base, call.path, items.slice(skip, skip + top).map(describeItem), next) };
}

function wholeOf(text: string | null, otherwise: number): number {
  const value = Number(text ?? "");
  return text !== null && Number.isSafeInteger(value) && value >= 0 ? value : otherwise;
}

function notFound(call: Call): Answer {
  return refuse(404, `SubCode=40400. Not Found. The messaging entity '${call.path}' could not be found.`);
}

function refuse(status: number, detail: string): Answer {
  return { status, body: errorXml(status, detail) };
}
