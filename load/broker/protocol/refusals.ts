// What clients get when something is refused, in the words of the real service: people search for them, and programs look for
// parts of them. The end that says where and when, and the host that the client called, are added where a refusal leaves; see
// tracking.ts.
import type { Right } from "../security/keys.ts";
import { hostMark } from "./tracking.ts";
import type { WireError } from "./wire.ts";

const resourceHelp = "To know more visit https://aka.ms/sbResourceMgrExceptions.";
const exceptionHelp = "For more information please see https://aka.ms/ServiceBusExceptions .";

export function entityNotFound(path: string): WireError {
  return { condition: "amqp:not-found", description: `The messaging entity 'sb://${hostMark}/${path}' could not be found. ${resourceHelp}` };
}

export function entityDisabled(path: string): WireError {
  return { condition: "com.microsoft:entity-disabled", description: `Messaging entity 'sb://${hostMark}/${path}' is currently disabled. ${exceptionHelp}` };
}

/** A rule, or a subscription, as the service names what lies below a topic. */
function nameBelow(topicPath: string, ...names: readonly string[]): string {
  return `${hostMark}:Topic:${[topicPath, ...names].join("|")}`;
}

/** @param subscriptionPath `topic/Subscriptions/name` */
function nameOfRule(subscriptionPath: string, rule: string): string {
  const [topic = "", subscription = ""] = subscriptionPath.split(/\/subscriptions\//i);
  return nameBelow(topic, subscription, rule);
}

export function ruleNotFound(subscriptionPath: string, rule: string): WireError {
  return { condition: "amqp:not-found", description: `The messaging entity '${nameOfRule(subscriptionPath, rule)}' could not be found. ${resourceHelp}` };
}

export function ruleExists(subscriptionPath: string, rule: string): WireError {
  return {
    condition: "com.microsoft:entity-already-exists",
    description: `The messaging entity '${nameOfRule(subscriptionPath, rule)}' already exists. ${resourceHelp}`,
  };
}

export const lockLost: WireError = {
  condition: "com.microsoft:message-lock-lost",
  description: `The lock supplied is invalid. Either the lock expired, or the message has already been removed from the queue. ${exceptionHelp}`,
};

export const sessionLockLost: WireError = {
  condition: "com.microsoft:session-lock-lost",
  description: "The session lock has expired on the MessageSession. Accept a new MessageSession.",
};

export function sessionTaken(sessionId: string): WireError {
  return {
    condition: "com.microsoft:session-cannot-be-locked",
    description: `The requested session '${sessionId}' cannot be accepted. It may be locked by another receiver.`,
  };
}

export function noSessionInTime(timeoutMs: number): WireError {
  const [hours, minutes, seconds] = [Math.floor(timeoutMs / 3_600_000), Math.floor(timeoutMs / 60_000) % 60, Math.floor(timeoutMs / 1000) % 60].map((part) =>
    String(part).padStart(2, "0"),
  );
  const fraction = timeoutMs % 1000 === 0 ? "" : `.${String(timeoutMs % 1000).padStart(3, "0")}`;
  return {
    condition: "com.microsoft:timeout",
    description: `The operation did not complete within the allotted timeout of ${hours}:${minutes}:${seconds}${fraction}. The time allotted to this operation may have been a portion of a longer timeout. ${exceptionHelp}`,
  };
}

export const sessionRequired: WireError = {
  condition: "amqp:not-allowed",
  description: "It is not possible for an entity that requires sessions to create a non-sessionful message receiver.",
};

export const noSessions: WireError = {
  condition: "amqp:not-allowed",
  description:
    "A sessionful message receiver cannot be created on an entity that does not require sessions. Ensure RequiresSession is set to true when creating a Queue or Subscription to enable sessionful behavior.",
};

export const sessionIdMissing: WireError = {
  condition: "amqp:not-allowed",
  description:
    "The SessionId was not set on a message, and it cannot be sent to the entity. Entities that have session support enabled can only receive messages that have the SessionId set to a valid value.",
};

export const receiverForwarded: WireError = {
  condition: "amqp:not-allowed",
  description: "Cannot create a message receiver on an entity with auto-forwarding enabled.",
};

export const deferredNotFound: WireError = {
  condition: "com.microsoft:message-not-found",
  description: "Failed to lock one or more specified messages. Either the message is already locked or does not exist.",
};

export function scheduledNotFound(sequenceNumbers: readonly number[]): WireError {
  return { condition: "com.microsoft:message-not-found", description: `Messages not found. Missing sequence numbers: ${sequenceNumbers.join(", ")}` };
}

export function entityFull({
  path,
  bytes,
  bytesMax,
  kind,
}: {
  readonly path: string;
  readonly bytes: number;
  readonly bytesMax: number;
  readonly kind: "Queue" | "Topic";
}): WireError {
  return {
    condition: "amqp:resource-limit-exceeded",
    description: `The maximum entity size has been reached or exceeded for ${kind}: '${path}'. Size of entity in bytes:${bytes}, Max entity size in bytes:${bytesMax}. ${exceptionHelp}`,
  };
}

/** @param deliveryId undefined = it came in a request */
export function messageTooLarge(bytes: number, bytesMax: number, deliveryId?: number): WireError {
  return {
    condition: "amqp:link:message-size-exceeded",
    description: `The received message (delivery-id:${deliveryId ?? 0}, size:${bytes} bytes) exceeds the limit (${bytesMax} bytes) currently allowed on the link.`,
  };
}

export const serverBusy: WireError = {
  condition: "com.microsoft:server-busy",
  description: `The request was terminated because the entity is being throttled. Error code : 50009. Please wait 10 seconds and try again. ${resourceHelp}`,
};

export function detachForced(link: string, role: "sender" | "receiver"): WireError {
  return {
    condition: "amqp:link:detach-forced",
    description: `The link '${link}' is force detached. Code: ${role === "sender" ? "publisher" : "consumer"}. Details: The broker was told to detach it. Attach again.`,
  };
}

export const tokenExpired: WireError = { condition: "amqp:unauthorized-access", description: "ExpiredToken: The token is expired, and no other came in time." };

export function unauthorized(claims: readonly Right[], path: string): WireError {
  return {
    condition: "amqp:unauthorized-access",
    description: `Unauthorized access. '${claims.join(",")}' claim(s) are required to perform this operation. Resource: 'sb://${hostMark}/${path}'.`,
  };
}
