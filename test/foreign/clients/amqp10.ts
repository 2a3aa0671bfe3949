// What amqp10, a client for Node of its own making, does with the broker by its policy for Service Bus.
import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { join } from "node:path";
import { eventually, within } from "../../support/eventually.ts";
import { check, runChecks } from "./checks.ts";

interface Receiver {
  on(
    event: "message",
    listener: (message: {
      readonly body: unknown;
      readonly properties: { readonly messageId: string };
      readonly header: { readonly deliveryCount: number };
    }) => void,
  ): void;
  accept(message: object): void;
  release(message: object): void;
  reject(message: object, reason: string): void;
  detach(): Promise<void>;
}

interface Client {
  connect(url: string): Promise<void>;
  createSender(address: string): Promise<{ send(message: object): Promise<unknown>; detach(): Promise<void> }>;
  createReceiver(address: string, policy?: object): Promise<Receiver>;
  disconnect(): Promise<void>;
}

interface Library {
  readonly Client: new (policy: object) => Client;
  readonly Policy: { readonly ServiceBusQueue: object; merge(changes: object, policy: object): object };
  readonly Constants: { readonly receiverSettleMode: { readonly settleOnDisposition: number } };
}

const [folder = "", url = ""] = process.argv.slice(2);
const { Client, Policy, Constants } = createRequire(join(folder, "package.json"))("amqp10") as Library;
const policy = Policy.merge(
  { senderLink: { attach: { maxMessageSize: 1_000_000 } }, receiverLink: { attach: { maxMessageSize: 1_000_000 } }, reconnect: { forever: false, retries: 0 } },
  Policy.ServiceBusQueue,
);
const client = new Client(policy);

check("a name and a key let in", async () => {
  await within("the connection", client.connect(url));
});

check("messages are sent, come in order, and end by every outcome", async () => {
  const sender = await within("the sender", client.createSender("plain"));
  for (let index = 0; index < 30; index++) await within("an outcome", sender.send({ body: { index }, properties: { messageId: `m${index}` } }));
  const receiver = await within(
    "the receiver",
    client.createReceiver("plain", { attach: { rcvSettleMode: Constants.receiverSettleMode.settleOnDisposition } }),
  );
  const seen: string[] = [];
  receiver.on("message", (message) => {
    seen.push(message.properties.messageId);
    const index = Number(message.properties.messageId.slice(1));
    if (index % 3 === 0) receiver.accept(message);
    else if (index % 3 === 1) receiver.reject(message, "bad");
    else if (seen.filter((id) => id === message.properties.messageId).length === 1) receiver.release(message);
    else receiver.accept(message);
  });
  await eventually("each message, and those given back again", () => seen.length === 40);
  assert.deepEqual(
    [...new Set(seen)],
    Array.from({ length: 30 }, (_, index) => `m${index}`),
  );
});

check("a large message comes whole", async () => {
  const sender = await within("the sender", client.createSender("large"));
  await within("an outcome", sender.send({ body: "x".repeat(200_000), properties: { messageId: "large" } }));
  const receiver = await within("the receiver", client.createReceiver("large"));
  const bodies: unknown[] = [];
  receiver.on("message", ({ body }) => bodies.push(body));
  await eventually("the message", () => bodies.length === 1);
  assert.equal(String(bodies[0]).length, 200_000);
});

check("everything closes", async () => {
  await within("the connection to close", client.disconnect());
});

await runChecks();
process.exit();
