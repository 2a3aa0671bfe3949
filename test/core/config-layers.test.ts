// What the environment and flags make of a configuration, and where each value comes from.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { configSchema } from "#runtime/core/config.ts";
import { readEnvironment, variablesOf } from "#runtime/core/config/environment.ts";
import { jsonSchemaOf } from "#runtime/core/config/json-schema.ts";
import { originOf, withAssignments } from "#runtime/core/config/layers.ts";
import { at, isSecret, valueOf } from "#runtime/core/config/schema-places.ts";

const schema = jsonSchemaOf(configSchema);
const file = {
  sources: [{ queue: "input" }],
  serviceBus: { connectionString: "Endpoint=sb://localhost" },
  store: { kind: "sqlite", path: "x" },
  plugins: ["a"],
  dependencies: { "card.Payments": { baseUrl: "http://pay" } },
};

function withEnvironment(env: Readonly<Record<string, string>>): unknown {
  const { assignments, mistakes } = readEnvironment(env, schema, file);
  assert.deepEqual(mistakes, []);
  return withAssignments(file, assignments);
}

test("variables set keys of every depth, each as the schema means it; the file stays as it is", () => {
  const merged = withEnvironment({
    HOLDFAST_THREADS: "4",
    HOLDFAST_HELD_BYTES_MAX: "65536",
    HOLDFAST_SOURCES__0__DELIVERIES_MAX: "3",
    HOLDFAST_SOURCES__1__QUEUE: "7",
    HOLDFAST_ADMIN__PORT: "0",
    HOLDFAST_RECOVERY__ENABLED: "false",
    HOLDFAST_PLUGINS: "./a, ./b",
    HOLDFAST_DEPENDENCIES__CARD_PAYMENTS__BULKHEAD__CONCURRENT_MAX: "8",
    HOLDFAST_DEPENDENCIES__MAIL_RELAY__LIMITS: '[{"requestsPerMinute":5}]',
    HOLDFAST_LOG_LEVEL: "",
  });
  assert.deepEqual(merged, {
    ...file,
    threads: 4,
    heldBytesMax: 65_536,
    sources: [{ queue: "input", deliveriesMax: 3 }, { queue: "7" }],
    admin: { port: 0 },
    recovery: { enabled: false },
    plugins: ["./a", "./b"],
    dependencies: { "card.Payments": { baseUrl: "http://pay", bulkhead: { concurrentMax: 8 } }, "mail-relay": { limits: [{ requestsPerMinute: 5 }] } },
  });
  assert.deepEqual(file.sources, [{ queue: "input" }]);
});

test("a layer that chooses another way takes what the file says of the first one away", () => {
  const merged = withEnvironment({
    HOLDFAST_SERVICE_BUS__FULLY_QUALIFIED_NAMESPACE: "n.servicebus.windows.net",
    HOLDFAST_STORE__URL: "redis://r",
    HOLDFAST_STORE__KIND: "redis",
    HOLDFAST_SOURCES__0__TOPIC: "t",
  }) as typeof file;
  assert.deepEqual(
    [merged.serviceBus, merged.store, merged.sources],
    [{ fullyQualifiedNamespace: "n.servicebus.windows.net" }, { kind: "redis", url: "redis://r" }, [{ topic: "t" }]],
  );
});

test("a secret that lies elsewhere is another way, too", () => {
  const given = { serviceBus: { fullyQualifiedNamespace: "n.servicebus.windows.net" } };
  const path = ["serviceBus", "connectionString", "file"];
  assert.deepEqual(withAssignments(given, [{ path, value: "/run/secret", by: "HOLDFAST_SERVICE_BUS__CONNECTION_STRING__FILE" }]), {
    serviceBus: { connectionString: { file: "/run/secret" } },
  });
});

test("an unknown variable is named with the one that was probably meant; those of others are left alone", () => {
  const { mistakes, unread, assignments } = readEnvironment(
    {
      HOLDFAST_THREDS: "4",
      HOLDFAST_ADMIN_PORT: "80",
      HOLDFAST_ADMIN__PROT: "80",
      HOLDFAST_ADMIN__ZZZZZZ: "1",
      HOLDFAST_SOMEBODY_ELSES_THING: "1",
      // A service of Kubernetes by the name of holdfast-admin.
      HOLDFAST_ADMIN_SERVICE_HOST: "10.0.0.1",
      HOLDFAST_ADMIN_SERVICE_PORT_HTTP: "80",
      HOLDFAST_PORT: "tcp://10.0.0.1:80",
      HOLDFAST_ADMIN_PORT_80_TCP_ADDR: "10.0.0.1",
      HOLDFAST_CONFIG: "x.yaml",
      OTHER: "1",
    },
    schema,
    file,
  );
  assert.deepEqual(mistakes, [
    "HOLDFAST_ADMIN_PORT: unknown variable; did you mean 'HOLDFAST_ADMIN__PORT'?",
    "HOLDFAST_ADMIN__PROT: unknown variable; did you mean 'HOLDFAST_ADMIN__PORT'?",
    "HOLDFAST_ADMIN__ZZZZZZ: unknown variable; check its spelling or remove it",
    "HOLDFAST_THREDS: unknown variable; did you mean 'HOLDFAST_THREADS'?",
  ]);
  assert.deepEqual([unread, assignments], [["HOLDFAST_SOMEBODY_ELSES_THING"], []]);
});

test("every variable that is documented sets its key", () => {
  for (const { variable, path } of variablesOf(schema)) {
    const { assignments } = readEnvironment({ [variable]: "1" }, schema, {});
    assert.deepEqual(
      assignments[0]?.path,
      path.map((key) => (key === "NAME" ? "name" : key)),
      variable,
    );
  }
});

test("each value knows where it comes from: the last layer that says it", () => {
  const environment = readEnvironment({ HOLDFAST_THREADS: "4", HOLDFAST_STORE__PATH: "y", HOLDFAST_PLUGINS__1: "b" }, schema, file).assignments;
  const layers = { file, environment, flags: [{ path: ["threads"], value: 2, by: "--set" }] };
  const from = (key: string): unknown => originOf(layers, key.split("."));
  assert.deepEqual(from("threads"), { layer: "flag", by: "--set" });
  assert.deepEqual(from("store.path"), { layer: "environment", by: "HOLDFAST_STORE__PATH" });
  assert.deepEqual(from("plugins"), { layer: "environment", by: "HOLDFAST_PLUGINS__1" });
  assert.deepEqual([from("store.kind"), from("sources.0.queue"), from("inFlightMax")], [{ layer: "file" }, { layer: "file" }, { layer: "default" }]);
});

test("what is secret is marked so in the schema", () => {
  const secrets = variablesOf(schema).flatMap(({ path, place }) => (isSecret(place) ? [path.join(".")] : []));
  assert.deepEqual(secrets, [
    "serviceBus.connectionString",
    "store.url",
    "store.password",
    "store.sentinel.password",
    "escalation.channels.NAME.url",
    "escalation.channels.NAME.secret",
    "escalation.channels.NAME.headers.NAME",
    "escalation.channels.NAME.password",
  ]);
  assert.equal(valueOf(at(schema, ["threads"]), "four"), "four");
});
