// The properties of a message that filters and actions call `sys.`.

/** By lower-case name, as conditions may write it: the field of the properties section, or what else it is. */
export const systemProperties: ReadonlyMap<string, SystemProperty> = new Map([
  ["messageid", "messageId"],
  ["correlationid", "correlationId"],
  ["label", "subject"],
  ["subject", "subject"],
  ["to", "to"],
  ["replyto", "replyTo"],
  ["sessionid", "sessionId"],
  ["replytosessionid", "replyToSessionId"],
  ["contenttype", "contentType"],
  ["timetolive", "timeToLive"],
  ["scheduledenqueuetimeutc", "scheduledEnqueueTime"],
  ["enqueuedtimeutc", "enqueuedTime"],
  ["sequencenumber", "sequenceNumber"],
  ["enqueuedsequencenumber", "sequenceNumber"],
  ["deliverycount", "deliveryCount"],
  ["partitionkey", "partitionKey"],
]);

export type SystemProperty =
  | "messageId"
  | "correlationId"
  | "subject"
  | "to"
  | "replyTo"
  | "sessionId"
  | "replyToSessionId"
  | "contentType"
  | "timeToLive"
  | "scheduledEnqueueTime"
  | "enqueuedTime"
  | "sequenceNumber"
  | "deliveryCount"
  | "partitionKey";

/** Those that an action can set. */
export const settable: ReadonlySet<SystemProperty> = new Set<SystemProperty>([
  "messageId",
  "correlationId",
  "subject",
  "to",
  "replyTo",
  "sessionId",
  "replyToSessionId",
  "contentType",
  "timeToLive",
]);
