// Values of every type between all clients: each sends what it can say to a topic, and each receives what all have sent from
// a subscription of its own. Nothing may be lost, changed or mixed up on the way.
import { strict as assert } from "node:assert";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { promisify } from "node:util";
import type { Broker } from "#load/broker/broker.ts";
import { startForeignBroker } from "./clients.ts";
import { peerOf, python } from "./peers.ts";
import { azureReceive, azureSend, engineReceive, engineSend, type Received, rheaReceive, rheaSend, transportReceive, transportSend } from "./value-clients.ts";
import { expectedOf, type Precision, type ProducerName, producers, type Seen } from "./values.ts";

const azurePython = await peerOf("azurePython");
const protonPython = await peerOf("protonPython");
const rheaPeer = await peerOf("rhea");
const azureJs = await peerOf("azureJs");

const topic = "values";
const clientTimeOutMs = 60_000;
// uamqp, under Azure's SDK for Python, gives up a link over a char or a decimal.
const entities = {
  topics: [
    {
      name: topic,
      subscriptions: [...producers.filter((name) => name !== "azurePython"), { name: "azurePython", rules: [{ name: "known", sql: "sys.Label <> 'rare'" }] }],
    },
  ],
};

interface Client {
  readonly title: string;
  readonly precision: Precision;
  /** It reads whole numbers as doubles, whatever they lose. */
  readonly doubles?: boolean;
  /** Fields that it does not show. */
  readonly blind?: readonly string[];
  send(): Promise<void>;
  receive(count: number): Promise<Received>;
}

async function runPython(t: TestContext, script: string, ...args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(python, ["-B", join(import.meta.dirname, "clients", script), ...args], {
    signal: t.signal,
    timeout: clientTimeOutMs,
  });
  return JSON.parse(stdout);
}

function clientsOn(t: TestContext, broker: Broker, secure: readonly string[]): Partial<Record<ProducerName, Client>> {
  const url = `amqp://${broker.host}:${broker.port}`;
  const place = (name: ProducerName): string => `${topic}/Subscriptions/${name}`;
  return {
    engine: {
      title: "our engine",
      precision: "typed",
      send: () => engineSend(t, broker, topic),
      receive: (count) => engineReceive(t, broker, place("engine"), count),
    },
    transport: {
      title: "our transport",
      precision: "plain",
      blind: ["to", "replyTo", "userId", "groupId", "replyToGroupId"],
      send: () => transportSend(t, broker, topic),
      receive: (count) => transportReceive(t, broker, topic, "transport", count),
    },
    rhea: {
      title: rheaPeer.title,
      precision: "plain",
      doubles: true,
      send: () => rheaSend(t, broker, topic),
      receive: (count) => rheaReceive(t, broker, place("rhea"), count),
    },
    azureJs: {
      title: azureJs.title,
      precision: "plain",
      doubles: true,
      blind: ["userId"],
      send: () => azureSend(t, broker, topic),
      receive: (count) => azureReceive(t, broker, topic, "azureJs", count),
    },
    ...(protonPython.skip === false && {
      proton: {
        title: protonPython.title,
        precision: "typed",
        send: async () => void (await runPython(t, "types_proton.py", "send", url, topic, "0")),
        receive: async (count) => (await runPython(t, "types_proton.py", "receive", url, place("proton"), String(count))) as Received,
      },
    }),
    ...(azurePython.skip === false && {
      azurePython: {
        title: azurePython.title,
        precision: "plain",
        send: async () => void (await runPython(t, "types_azure.py", "send", ...secure, topic, "none", "0")),
        receive: async (count) => (await runPython(t, "types_azure.py", "receive", ...secure, topic, "azurePython", String(count))) as Received,
      },
    }),
  };
}

/** What a message must be to a client: without what the client does not show, and without an id that the broker gave it. */
function shownTo(client: Client, expected: Seen, found: Seen | undefined): [Seen, Seen | undefined] {
  const isHidden = (name: string): boolean =>
    client.blind?.includes(name) === true || (name === "id" && expected["id"] === undefined) || (expected[name] === undefined && found?.[name] === "null");
  const readable = (text: string): string => (client.doubles === true ? text.replace("9007199254740993", "9007199254740992") : text);
  const shown = (seen: Seen): Seen => Object.fromEntries(Object.entries(seen).flatMap(([name, text]) => (isHidden(name) ? [] : [[name, readable(text)]])));
  return [shown(expected), found === undefined ? undefined : shown(found)];
}

test("values of every type between all clients", async (t) => {
  const { broker, certificatePath, secureConnectionString } = await startForeignBroker(t, entities, "open");
  const key = /SharedAccessKey=[^;]+/.exec(broker.connectionString)?.[0] ?? "";
  const clients = clientsOn(t, broker, [secureConnectionString.replace(/SharedAccessKey=[^;]+/, key), String(broker.port), certificatePath]);
  for (const client of Object.values(clients)) await client.send();
  for (const [name, client] of Object.entries(clients)) {
    const received = await client.receive(broker.inspect().queues[`${topic}/Subscriptions/${name}`]?.states.active ?? 0);
    const found = new Map(received);
    for (const producer of Object.keys(clients) as ProducerName[]) {
      await t.test(`from ${clients[producer]?.title} to ${client.title}`, () => {
        for (const [subject, expected] of expectedOf(producer, client.precision)) {
          if (name === "azurePython" && subject === "rare") continue;
          const [wanted, got] = shownTo(client, expected, found.get(`${producer} ${subject}`));
          assert.deepEqual(got, wanted, `the message '${subject}'`);
        }
      });
    }
  }
});
