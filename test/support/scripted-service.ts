// A stand-in for Service Bus made of the engine's server side: it lets everybody in and answers its nodes as a test says, so
// that a client can be shown what a real broker does seldom.
import type { TestContext } from "node:test";
import type { AttachRequest } from "#runtime/amqp/link/attach-request.ts";
import { accepted } from "#runtime/amqp/message/delivery-state.ts";
import { encodeMessage } from "#runtime/amqp/message/message-writer.ts";
import type { MessageView } from "#runtime/amqp/message/message.ts";
import type { Sender } from "#runtime/amqp/link/sender.ts";
import type { SessionEvents } from "#runtime/amqp/session/session.ts";
import { listen } from "#runtime/amqp/connection/sockets.ts";
import type { Listener, ListenOptions } from "#runtime/amqp/connection/sockets.ts";
import { int, symbol } from "#runtime/amqp/codec/types.ts";
import type { Encodable } from "#runtime/amqp/codec/types.ts";

export interface ScriptedReply {
  readonly code: number;
  readonly condition?: string;
  readonly body?: Encodable;
}

/** What the service does; everything that is left out it does well. */
export interface Script {
  /** Undefined gives no answer. */
  onToken?(audience: string, token: string, type: string): ScriptedReply | undefined;
  onManagement?(operation: string, message: MessageView, address: string): ScriptedReply | undefined;
  /** The client wants to receive from an entity. Default: attached, and given nothing. */
  onReceiver?(request: AttachRequest, address: string): void;
  /** The client wants a link to a node, of which there are two. False leaves it without an answer. Default: both are attached. */
  onNode?(request: AttachRequest, address: string): boolean;
  /** The client wants to send to an entity. Default: each message is accepted. */
  onSender?(request: AttachRequest, address: string): void;
}

export interface ScriptedService {
  readonly listener: Listener;
  readonly connectionString: string;
  /** Connections that were ever opened. */
  readonly connections: number;
}

export async function startScriptedService(t: TestContext, script: Script, options: Partial<ListenOptions> = {}): Promise<ScriptedService> {
  let connections = 0;
  const sasl = { mechanisms: ["ANONYMOUS"], authenticate: (_init: unknown, decide: (allowed: boolean) => void): void => decide(true) };
  const listener = await listen(
    { containerId: "service", port: 0, sasl, closeTimeOutMs: 500, ...options },
    {
      onOpen: () => {
        connections += 1;
      },
      onSession: () => scriptedSession(script),
    },
  );
  t.after(() => listener.close());
  const local = options.tls === undefined ? ";UseDevelopmentEmulator=true" : "";
  return {
    listener,
    connectionString: `Endpoint=sb://127.0.0.1:${listener.port};SharedAccessKeyName=root;SharedAccessKey=secret${local}`,
    get connections() {
      return connections;
    },
  };
}

function scriptedSession(script: Script): SessionEvents {
  let replies: Sender | undefined;
  // A reply may have to wait for the client's credit.
  const waiting: Buffer[] = [];
  const pump = (): void => {
    while (waiting[0] !== undefined && replies?.send(waiting[0], undefined) !== undefined) waiting.shift();
  };
  const answer = (address: string, message: MessageView): void => {
    const reply = address === "$cbs" ? answerToken(script, message) : answerManagement(script, message, address);
    if (reply === undefined) return;
    const status = { statusCode: int(reply.code), "status-code": int(reply.code), statusDescription: "scripted" };
    const applicationProperties = reply.condition === undefined ? status : { ...status, errorCondition: symbol(reply.condition) };
    waiting.push(
      encodeMessage({ properties: { correlationId: message.propertyView("messageId")?.raw() }, applicationProperties, body: { value: reply.body ?? null } }),
    );
    pump();
  };
  return {
    onAttach(request) {
      const { attach } = request;
      const address = (attach.role === "receiver" ? attach.source?.address : attach.target?.address) ?? "";
      const isNode = address === "$cbs" || address.endsWith("/$management");
      if (isNode && script.onNode?.(request, address) === false) return;
      if (attach.role === "receiver") {
        if (isNode) replies = request.acceptAsSender({}, { onSendable: pump });
        else if (script.onReceiver === undefined) request.acceptAsSender({}, {});
        else script.onReceiver(request, address);
      } else if (isNode || script.onSender === undefined) {
        request
          .acceptAsReceiver(
            { receiverSettleMode: "first" },
            {
              onDelivery(delivery) {
                delivery.settle(accepted);
                if (isNode) answer(address, delivery.message);
              },
            },
          )
          .addCredit(1_000);
      } else script.onSender(request, address);
    },
  };
}

function answerToken(script: Script, message: MessageView): ScriptedReply | undefined {
  const properties = message.applicationProperties;
  const token = message.values()[0]?.plain();
  if (script.onToken === undefined) return { code: 202 };
  return script.onToken(properties?.string("name") ?? "", typeof token === "string" ? token : "", properties?.string("type") ?? "");
}

function answerManagement(script: Script, message: MessageView, address: string): ScriptedReply | undefined {
  const operation = (message.applicationProperties?.string("operation") ?? "").replace("com.microsoft:", "");
  if (script.onManagement === undefined) return { code: 204 };
  return script.onManagement(operation, message, address);
}
