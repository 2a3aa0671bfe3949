// Compose, collector, Argo CD, dashboards and runbooks: what they refer to exists.
import { strict as assert } from "node:assert";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { parseConfig } from "#runtime/core/config.ts";
import { startBroker } from "#load/broker/broker.ts";
import { at, deployFolder } from "../support/kubernetes.ts";
import { codeBlocksOf } from "../support/markdown.ts";
import { unknownGroups, unknownMetrics } from "../support/named-metrics.ts";

const root = join(deployFolder, "..");
const read = (name: string): string => readFileSync(join(deployFolder, name), "utf8");

test("every file of YAML or JSON here is well-formed, and names each key once", () => {
  const files = globSync("**/*.{yaml,yml,json}", { cwd: deployFolder, exclude: (name) => name === "templates" });
  assert.ok(files.length > 20);
  for (const file of files) {
    for (const { errors, warnings } of parseAllDocuments(read(file), { uniqueKeys: true })) assert.deepEqual([errors, warnings], [[], []], file);
  }
});

test("compose: the worker is confined, has its grace period and its configuration, and no port is open to others", () => {
  const { services, volumes } = parse(read("compose.yaml")) as {
    readonly services: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
    readonly volumes: object;
  };
  const worker = services["worker"];
  const config = parseConfig(
    {
      ...(parse(read("compose.config.yaml")) as object),
      serviceBus: { connectionString: at(worker, "environment", "HOLDFAST_SERVICE_BUS__CONNECTION_STRING") as string },
    },
    "compose.config.yaml",
  );
  assert.ok(Number.parseInt(at(worker, "stop_grace_period") as string, 10) > config.stopBudgetMs / 1_000 + 5);
  assert.deepEqual([at(worker, "read_only"), at(worker, "cap_drop")], [true, ["ALL"]]);
  for (const port of Object.values(services).flatMap((service) => (at(service, "ports") as readonly string[] | undefined) ?? []))
    assert.match(port, /^127\.0\.0\.1:/);
  for (const mount of Object.values(services).flatMap((service) => (at(service, "volumes") as readonly string[] | undefined) ?? [])) {
    const [source = ""] = mount.split(":");
    assert.ok(source.startsWith("./") ? existsSync(join(deployFolder, source)) : source in volumes, mount);
  }
  assert.ok(existsSync(join(root, at(worker, "build", "dockerfile") as string)));
  assert.deepEqual(
    Object.keys(at(worker, "depends_on") as object).filter((name) => services[name] === undefined),
    [],
  );
  for (const plugin of config.plugins) assert.ok(typeof plugin === "string" && existsSync(join(root, plugin.replace("/opt/holdfast/dist/", ""))));
});

test("compose: the emulator's file is one that a Service Bus takes, with the entities that the worker uses", async () => {
  const broker = await startBroker({ entities: JSON.parse(read("compose.emulator.json")) as object });
  const { sources, publish } = parse(read("compose.config.yaml")) as {
    readonly sources: readonly { readonly queue: string }[];
    readonly publish: { readonly entity: string };
  };
  const queues = Object.keys(broker.inspect().queues);
  await broker.stop();
  for (const name of [...sources.map(({ queue }) => queue), publish.entity]) assert.ok(queues.includes(name), `${name} in ${queues.join(", ")}`);
});

test("the collector's pipelines name parts that are defined, each of which is used, and the port that workers send to", () => {
  const collector = parse(read("otel/collector.yaml")) as Readonly<Record<string, object>> & {
    readonly service: { readonly extensions: readonly string[]; readonly pipelines: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> };
  };
  const used = new Set(
    Object.values(collector.service.pipelines).flatMap((pipeline) =>
      Object.entries(pipeline).flatMap(([kind, names]) => names.map((name) => `${kind} ${name}`)),
    ),
  );
  for (const name of collector.service.extensions) used.add(`extensions ${name}`);
  const defined = ["receivers", "processors", "exporters", "extensions"].flatMap((kind) => Object.keys(collector[kind] ?? {}).map((name) => `${kind} ${name}`));
  assert.deepEqual([...used].toSorted(), defined.toSorted());
  assert.match(at(collector, "receivers", "otlp", "protocols", "http", "endpoint") as string, /:4318$/);
  assert.match(read("kustomize/components/telemetry/kustomization.yaml"), /:4318/);
});

test("Argo CD's application leads to an overlay, and leaves the number of workers to what scales them", () => {
  const application = parse(read("argocd/application.yaml")) as object;
  assert.ok(existsSync(join(root, at(application, "spec", "source", "path") as string, "kustomization.yaml")));
  const ignored = at(application, "spec", "ignoreDifferences") as readonly { readonly kind: string; readonly jsonPointers: readonly string[] }[];
  for (const kind of ["Deployment", "Rollout"])
    assert.ok(
      ignored.some((one) => one.kind === kind && one.jsonPointers.includes("/spec/replicas")),
      kind,
    );
});

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

/** Counters that a worker has from its start; each other series is made by the first that it counts, which `increase` alone leaves out. */
const fromTheStart = /^holdfast_(?:locks_renewed|bulkhead_rejected|retry_budget_refused|store_call_failures)_total\{/;

/** Only of a worker that was there before, or has started since: a series that is new because nothing was read for a while has counted earlier. */
function wasRead(range: string): string {
  const start = "holdfast_process_start_time_seconds";
  return `on (job, instance) (${start} offset ${range} or ${start} > time() - ${range === "1h" ? 3_600 : 300})`;
}

for (const file of globSync("grafana/*.json", { cwd: deployFolder })) {
  test(`${file}: panels ask for metrics and labels that there are, name their own labels, and lie side by side`, () => {
    const { panels, uid } = JSON.parse(read(file)) as { readonly panels: readonly Panel[]; readonly uid: string };
    assert.match(uid, /^holdfast-/);
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
    for (const { title, targets = [] } of panels) {
      for (const { expr, legendFormat } of targets) {
        assert.deepEqual([...unknownMetrics(expr), ...unknownGroups(expr)], [], `${title}: ${expr}`);
        for (const [, counter = "", range = ""] of expr.matchAll(/\bincrease\((\w+\{[^}]*\})\[(\w+)\]\)/g))
          if (!fromTheStart.test(counter))
            assert.ok(expr.includes(`(${counter} unless ${counter} offset ${range} and ${wasRead(range)}) or increase(`), `${title}: ${expr}`);
        const grouped = [...expr.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(",").map((label) => label.trim()));
        for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) assert.ok(grouped.includes(label) || label === "instance", `${title}: ${label}`);
      }
    }
    const overlapping = panels.filter(({ id, gridPos: one }) =>
      panels.some(
        ({ id: otherId, gridPos: other }) =>
          otherId > id && one.x < other.x + other.w && other.x < one.x + one.w && one.y < other.y + other.h && other.y < one.y + one.h,
      ),
    );
    assert.deepEqual(overlapping, []);
  });
}

test("each alert leads to a runbook that names it, and each runbook is in the list", () => {
  const rules = parse(read("prometheus/holdfast.rules.yml")) as {
    readonly groups: readonly { readonly rules: readonly { readonly alert?: string; readonly annotations?: Readonly<Record<string, string>> }[] }[];
  };
  const alerts = rules.groups.flatMap((group) => group.rules.filter(({ alert }) => alert !== undefined));
  assert.ok(alerts.length >= 15);
  for (const { alert = "", annotations } of alerts) {
    const file = annotations?.["runbook_url"] ?? "";
    assert.ok(existsSync(join(deployFolder, file)), `${alert}: ${file}`);
    assert.ok(read(file).includes(`\`${alert}\``), `expected ${file} to name ${alert}`);
  }
  const listed = read("runbooks/README.md");
  const files = globSync("runbooks/*.md", { cwd: deployFolder }).map((file) => file.slice("runbooks/".length));
  for (const file of files.filter((name) => name !== "README.md")) assert.ok(listed.includes(`(${file})`), file);
  for (const wanted of ["broker-down", "store-down", "poison-flood", "stuck-receiver", "zone-lost", "restore-drill", "key-rotation"])
    assert.ok(files.includes(`${wanted}.md`), wanted);
});

/** Subcommands with their options, as the sources of the command line have them. */
function knownWords(): { readonly commands: ReadonlySet<string>; readonly options: ReadonlySet<string> } {
  const sources = globSync("runtime/cli/*.ts", { cwd: root }).map((file) => readFileSync(join(root, file), "utf8"));
  const commands = new Set(sources.flatMap((text) => [...text.matchAll(/\.command\("([\w-]+)"\)/g)].map(([, name = ""]) => name)));
  const options = new Set(sources.flatMap((text) => [...text.matchAll(/"(?:-\w, )?(--[a-z-]+)/g)].map(([, name = ""]) => name)));
  return { commands, options };
}

test("runbooks give commands, options and paths of the API that there are", () => {
  const { commands, options } = knownWords();
  const served = Object.keys((JSON.parse(readFileSync(join(root, "runtime/admin/openapi.json"), "utf8")) as { readonly paths: object }).paths);
  const wrong: string[] = [];
  let commandCount = 0;
  for (const file of globSync("runbooks/*.md", { cwd: deployFolder })) {
    const text = read(file);
    const lines = [
      ...codeBlocksOf(text).flatMap((block) => block.text.split("\n")),
      ...[...text.matchAll(/`((?:holdfast|curl) [^`]+)`/g)].map(([, line = ""]) => line),
    ];
    for (const line of lines.map((one) => one.trim())) {
      const plain = line.replaceAll(/'[^']*'|"[^"]*"/g, "TEXT").replace(/\s#.*$/, "");
      if (plain.startsWith("holdfast ")) {
        commandCount += 1;
        const words = plain.split(/\s+/).slice(1);
        const named = words.filter((word, index) => /^[a-z][a-z-]*$/.test(word) && words.slice(0, index).every((before) => /^[a-z][a-z-]*$/.test(before)));
        if (named.length === 0 || named.some((name) => !commands.has(name))) wrong.push(`${file}: ${line}`);
        for (const word of words) if (word.startsWith("--") && !options.has(word)) wrong.push(`${file}: ${word}`);
      }
      for (const [, path = ""] of line.matchAll(/\/api\/v1(\/[\w/-]*)/g))
        if (!served.some((one) => new RegExp(`^${one.replaceAll(/\{\w+\}/g, "[\\w-]+")}$`).test(path))) wrong.push(`${file}: ${path}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(commandCount >= 20, String(commandCount));
});
