// What the administration API changes. A PUT creates, and with `If-Match` it updates; clients whose entity goes, or is
// disabled, lose their links to it.
import { isName } from "../entities/config-checks.ts";
import type { MessageQueue } from "../entities/queue.ts";
import { queueDefaults, type QueueSettings, topicDefaults } from "../entities/settings.ts";
import type { Topic } from "../entities/topic.ts";
import { defaultRule, rulesMax } from "../filters/rules.ts";
import { FilterSyntaxError } from "../filters/sql-lexer.ts";
import { entityDisabled } from "../protocol/refusals.ts";
import { hostMark } from "../protocol/tracking.ts";
import { childOf, parseEntry, textOf } from "./atom.ts";
import { refuseEntity, refuseRule, refuseSettings, refuseSubscription } from "./bounds.ts";
import { type AdministrationContext, type Answer, type Call, entry, isMeantFor, notFound, otherVersion, refuse } from "./call.ts";
import { describeQueue, describeSubscription, describeTopic } from "./descriptions.ts";
import { describeRule, readRule } from "./rules.ts";
import { readQueueSettings, readTopicSettings } from "./read-settings.ts";

const subscriptionPattern = /^(.+)\/subscriptions\/([^/]+)$/i;
const rulePattern = /^(.+\/subscriptions\/[^/]+)\/rules\/(.+)$/i;
/** Characters in the name of a subscription or a rule at most. */
const nameLengthMax = 50;

export function putEntity(context: AdministrationContext, call: Call): Answer {
  const [, owner, ruleName] = rulePattern.exec(call.path) ?? [];
  if (owner !== undefined && ruleName !== undefined) return putRule(context, call, owner, ruleName);
  const [, topicPath, name] = subscriptionPattern.exec(call.path) ?? [];
  if (topicPath !== undefined && name !== undefined) return putSubscription(context, call, topicPath, name);
  return /<(?:\w+:)?TopicDescription[\s>/]/.test(call.body) ? putTopic(context, call) : putQueue(context, call);
}

export function deleteEntity({ namespace, links }: AdministrationContext, call: Call): Answer {
  const [, owner, ruleName] = rulePattern.exec(call.path) ?? [];
  if (owner !== undefined && ruleName !== undefined)
    return namespace.subscriptionAt(owner)?.rules.remove(ruleName) === true ? { status: 200, body: "" } : notFound(call);
  if (!namespace.remove(call.path)) return notFound(call);
  links.closeGone(call.path);
  return { status: 200, body: "" };
}

function putQueue(context: AdministrationContext, call: Call): Answer {
  const { namespace } = context;
  const settings = readQueueSettings(parseEntry(call.body, "QueueDescription"));
  const existing = namespace.queues.get(call.path.toLowerCase());
  if (call.ifMatch !== undefined) {
    if (existing === undefined) return notFound(call);
    if (!isMeantFor(call, describeQueue(existing, call.base))) return otherVersion(call);
    return updateQueue(context, call, existing, settings) ?? entry(call, describeQueue(existing, call.base));
  }
  const refusal =
    refuseName(context, call) ??
    refuseEntity(namespace) ??
    refuseSettings(namespace, settings) ??
    refuseForwarding(context, call, { ...queueDefaults, ...settings });
  return refusal ?? entry(call, describeQueue(namespace.addQueue({ ...settings, name: call.path }), call.base), 201);
}

function putRule({ namespace }: AdministrationContext, call: Call, owner: string, name: string): Answer {
  const subscription = namespace.subscriptionAt(owner);
  if (subscription === undefined) return notFound(call);
  const { rules, queue } = subscription;
  const description = readRule(name, parseEntry(call.body, "RuleDescription"));
  const existing = rules.get(name);
  if (call.ifMatch !== undefined && existing === undefined) return notFound(call);
  if (call.ifMatch === undefined && existing !== undefined) return conflict(call);
  if (existing !== undefined && !isMeantFor(call, describeRule(queue.path, existing))) return otherVersion(call);
  if (name.length > nameLengthMax) return badName(call);
  if (existing === undefined && rules.size >= rulesMax) return refuse(403, `SubCode=40300. A subscription has at most ${rulesMax} rules.`);
  const refusal = existing === undefined ? refuseRule(namespace, owner, description) : undefined;
  if (refusal !== undefined) return refusal;
  try {
    return entry(call, describeRule(queue.path, rules.add(description, namespace.nowMs)), existing === undefined ? 201 : 200);
  } catch (error) {
    if (error instanceof FilterSyntaxError) return badRequest(error.message);
    throw error;
  }
}

function putTopic(context: AdministrationContext, call: Call): Answer {
  const { namespace } = context;
  const settings = readTopicSettings(parseEntry(call.body, "TopicDescription"));
  const existing = namespace.topics.get(call.path.toLowerCase());
  if (call.ifMatch !== undefined) return existing === undefined ? notFound(call) : updateTopic(context, call, existing, settings);
  const refusal = refuseName(context, call) ?? refuseEntity(namespace) ?? refuseSettings(namespace, settings);
  return refusal ?? entry(call, describeTopic(namespace.addTopic({ ...topicDefaults, ...settings, name: call.path, subscriptions: [] })), 201);
}

function putSubscription(context: AdministrationContext, call: Call, topicPath: string, name: string): Answer {
  const { namespace } = context;
  const topic = namespace.topics.get(topicPath.toLowerCase());
  if (topic === undefined) return notFound(call);
  const description = parseEntry(call.body, "SubscriptionDescription");
  const settings = readQueueSettings(description);
  const existing = topic.subscriptions.get(name.toLowerCase());
  if (call.ifMatch !== undefined) {
    if (existing === undefined) return notFound(call);
    if (!isMeantFor(call, describeSubscription(existing, call.base))) return otherVersion(call);
    return updateQueue(context, call, existing.queue, settings) ?? entry(call, describeSubscription(existing, call.base));
  }
  if (existing !== undefined) return conflict(call);
  if (name.length > nameLengthMax || !isName(name)) return badName(call);
  const refusal =
    refuseSubscription(namespace, topic) ?? refuseSettings(namespace, settings) ?? refuseForwarding(context, call, { ...queueDefaults, ...settings });
  if (refusal !== undefined) return refusal;
  const first = childOf(description, "DefaultRuleDescription");
  const rule = first === undefined ? defaultRule : readRule(textOf(first, "Name") ?? defaultRule.name, first);
  const ruleRefusal = refuseRule(namespace, call.path, rule);
  if (ruleRefusal !== undefined) return ruleRefusal;
  try {
    return entry(call, describeSubscription(namespace.addSubscription(topic, { ...settings, rules: [rule], name }), call.base), 201);
  } catch (error) {
    if (error instanceof FilterSyntaxError) return badRequest(error.message);
    throw error;
  }
}

/** Updates a queue or a subscription; gives the answer when it cannot be done. */
function updateQueue(context: AdministrationContext, call: Call, queue: MessageQueue, changed: Partial<QueueSettings>): Answer | undefined {
  const settings: QueueSettings = { ...queue.settings, forwardTo: undefined, forwardDeadLettersTo: undefined, ...changed };
  for (const key of ["requiresSession", "requiresDuplicateDetection", "partitioned"] as const) {
    if (settings[key] !== queue.settings[key]) return unchangeable(key, queue.path);
  }
  const refusal = refuseSettings(context.namespace, settings) ?? refuseForwarding(context, call, settings);
  if (refusal !== undefined) return refusal;
  context.namespace.configureQueue(queue, settings);
  closeDisabled(context, queue);
  return undefined;
}

function updateTopic(context: AdministrationContext, call: Call, topic: Topic, changed: ReturnType<typeof readTopicSettings>): Answer {
  const settings = { ...topic.settings, ...changed };
  if (!isMeantFor(call, describeTopic(topic))) return otherVersion(call);
  const refusal = refuseSettings(context.namespace, settings);
  if (refusal !== undefined) return refusal;
  if (settings.requiresDuplicateDetection !== topic.settings.requiresDuplicateDetection) return unchangeable("requiresDuplicateDetection", topic.path);
  context.namespace.configureTopic(topic, settings);
  closeDisabled(context, topic);
  return entry(call, describeTopic(topic));
}

function closeDisabled({ links }: AdministrationContext, entity: Topic | MessageQueue): void {
  const { path } = entity;
  const { status } = entity.settings;
  const closed = { sender: status === "Disabled" || status === "SendDisabled", receiver: status === "Disabled" || status === "ReceiveDisabled" };
  // What lies below a queue, its dead letters, has its status; a topic's subscriptions have their own.
  const paths = new Set([path, ...("sessions" in entity ? [entity.deadLetters?.path, entity.transferLetters?.path] : [])]);
  links.close(
    (link) => paths.has(link.path) && closed[link.role],
    (link) => entityDisabled(link.path),
  );
  if (closed.receiver && "sessions" in entity) entity.sessions?.endWaiting("disabled");
}

function refuseName({ namespace }: AdministrationContext, call: Call): Answer | undefined {
  const key = call.path.toLowerCase();
  if (namespace.queues.has(key) || namespace.topics.has(key)) return conflict(call);
  return isName(call.path) ? undefined : badName(call);
}

/** Messages can be forwarded to queues and topics that are there, and not to where they come from. */
function refuseForwarding({ namespace }: AdministrationContext, call: Call, { forwardTo, forwardDeadLettersTo }: QueueSettings): Answer | undefined {
  for (const target of [forwardTo, forwardDeadLettersTo]) {
    if (target === undefined) continue;
    const key = target.toLowerCase();
    if (key === call.path.toLowerCase()) return badRequest(`'${call.path}' cannot forward to itself.`);
    if (!namespace.queues.has(key) && !namespace.topics.has(key)) return badRequest(`The messaging entity '${target}' to forward to could not be found.`);
  }
  return undefined;
}

function badRequest(detail: string): Answer {
  return refuse(400, `SubCode=40000. Bad Request. ${detail}`);
}

function badName({ base, path }: Call): Answer {
  return refuse(
    400,
    `SubCode=40000. '${base}/${path}' contains character(s) that is not allowed by Service Bus, or too many. Entity segments can contain only letters, numbers, periods (.), hyphens (-), and underscores (_).`,
  );
}

function unchangeable(setting: string, path: string): Answer {
  return refuse(400, `SubCode=40000. The value for the '${setting}' property of an existing Queue(or Topic) can't be changed: '${path}' exists.`);
}

/** Of a queue or a topic the real service says less than of what lies below one. */
function conflict({ path }: Call): Answer {
  const below = /^(.+?)\/subscriptions\/([^/]+)(?:\/rules\/(.+))?$/i.exec(path);
  if (below === null)
    return refuse(409, `SubCode=40900. Conflict. You're requesting an operation that isn't allowed in the resource's current state: '${path}' already exists.`);
  return refuse(
    409,
    `The messaging entity '${hostMark}:Topic:${below
      .slice(1)
      .filter((part) => part !== undefined)
      .join("|")}' already exists.`,
  );
}
