// The chart renders to what Kustomize renders. Its templates use so little of Helm's language that it can be rendered without Helm; anything else in them is refused.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import { parse } from "yaml";
import { renderChart, renderTemplate } from "../support/helm-subset.ts";
import { complaintsOf, deployFolder, find, hasKubectl, kindsWithoutSchema, kustomize, type Manifest, manifestsIn } from "../support/kubernetes.ts";

const folder = join(deployFolder, "helm/holdfast");
const read = (name: string): string => readFileSync(join(folder, name), "utf8");
const values = parse(read("values.yaml")) as Record<string, Record<string, unknown>>;
const isValid = new Ajv({ allErrors: true, strict: false }).compile(JSON.parse(read("values.schema.json")) as object);
const rendered = (overrides: object = {}): readonly Manifest[] =>
  manifestsIn(renderChart(folder, { values: { ...values, ...overrides }, release: "holdfast" }));

test("the values are as their schema says, and what the schema does not know is refused", () => {
  assert.ok(isValid(values), JSON.stringify(isValid.errors));
  assert.equal(isValid({ ...values, scalling: {} }), false);
  assert.equal(isValid({ ...values, image: { repository: "x", digest: "latest" } }), false);
  assert.equal(isValid({ ...values, scaling: { ...values["scaling"], min: "3" } }), false);
});

test("with each part left out, what is rendered is as Kubernetes and KEDA take it", () => {
  const without = [
    {},
    { scaling: { ...values["scaling"], enabled: false } },
    { canary: { enabled: false } },
    { networkPolicy: { enabled: false } },
    { monitoring: { ...values["monitoring"], operator: false } },
    { telemetry: { endpoint: "" } },
  ];
  for (const overrides of without)
    assert.deepEqual(
      rendered(overrides)
        .filter(({ kind }) => !kindsWithoutSchema.has(kind))
        .flatMap(complaintsOf),
      [],
      JSON.stringify(overrides),
    );
  assert.equal(
    rendered({ canary: { enabled: false } }).some(({ kind }) => kind === "Rollout"),
    false,
  );
});

test("a pool that nobody can say anything of stays as large as it is, and has one worker at least", () => {
  const blind = (min: number): unknown =>
    (find(rendered({ scaling: { ...values["scaling"], min } }), "ScaledObject")["spec"] as { readonly fallback: unknown }).fallback;
  for (const [min, replicas] of [
    [0, 1],
    [1, 1],
    [7, 7],
  ] as const)
    assert.deepEqual(blind(min), { failureThreshold: 4, behavior: "currentReplicasIfHigher", replicas });
});

test("a grace period that does not hold a worker's stop is refused, with what to change", () => {
  const graceFor = (stopBudgetMs: number, terminationGracePeriodSeconds = values["terminationGracePeriodSeconds"]): readonly Manifest[] =>
    rendered({ config: { ...values["config"], stopBudgetMs }, terminationGracePeriodSeconds });
  assert.throws(
    () => graceFor(23_000),
    /^Error: terminationGracePeriodSeconds: expected more than .* config\.stopBudgetMs \(23000 ms\) and 5 s, found 30 s; raise it/,
  );
  assert.ok(graceFor(22_999).length > 0);
  assert.ok(graceFor(120_000, 128 as never).length > 0);
  const { stopBudgetMs: _, ...config } = values["config"] ?? {};
  assert.equal(isValid({ ...values, config }), false);
});

test("another configuration replaces the workers", () => {
  const sum = (config: object): unknown => {
    const deployment = find(rendered({ config }), "Deployment") as unknown as {
      readonly spec: { readonly template: { readonly metadata: { readonly annotations: Readonly<Record<string, string>> } } };
    };
    return deployment.spec.template.metadata.annotations["checksum/config"];
  };
  assert.notEqual(sum(values["config"] ?? {}), sum({ ...values["config"], threads: 4 }));
});

test("what is not of the part of Helm's language that can be rendered here is refused", () => {
  const scope = { values: { a: "x", b: {} }, release: "r" };
  assert.equal(renderTemplate("k: {{ .Values.a | quote }}", scope), 'k: "x"');
  for (const template of [
    "{{ range .Values.a }}",
    '{{ include "x" . }}',
    "{{ .Values.none }}",
    "{{ .Values.b }}",
    "{{- if .Values.a }}",
    "{{ .Values.a | upper }}",
  ])
    assert.throws(() => renderTemplate(template, scope), /^Error: expected/, template);
});

/** Names of what is made of the configuration end in a hash of the content, each tool's own; Helm's release is in one namespace, and has a sum of the configuration in its pods. */
function comparable(manifests: readonly Manifest[]): ReadonlyMap<string, unknown> {
  const left = manifests.filter(({ kind, metadata }) => kind !== "Namespace" && !["holdfast-rules", "holdfast-dashboards"].includes(metadata.name));
  return new Map(
    left.map((manifest) => {
      const text = JSON.stringify(manifest)
        .replaceAll(/holdfast-config-(?:[a-f0-9]{64}|[a-z0-9]{10})/g, "holdfast-config")
        .replaceAll(/,"helm\.sh\/resource-policy":"keep"/g, "")
        .replaceAll(/"namespace":"holdfast",?/g, "");
      const plain = JSON.parse(text.replaceAll(",}", "}")) as { data?: Record<string, string>; spec?: { template?: { metadata?: { annotations?: unknown } } } };
      if (manifest.kind === "Deployment") delete plain.spec?.template?.metadata?.annotations;
      if (plain.data?.["holdfast.config.yaml"] !== undefined) plain.data["holdfast.config.yaml"] = parse(plain.data["holdfast.config.yaml"]) as string;
      return [`${manifest.kind} ${manifest.metadata.name.replace(/-(?:[a-f0-9]{64}|[a-z0-9]{10})$/, "")}`, plain];
    }),
  );
}

if (hasKubectl) {
  test("with its default values the chart is what the overlay production of Kustomize is", () => {
    const [chart, overlay] = [comparable(rendered()), comparable(kustomize("production"))];
    assert.deepEqual([...chart.keys()].toSorted(), [...overlay.keys()].toSorted());
    for (const [name, manifest] of chart) assert.deepEqual(manifest, overlay.get(name), name);
  });
}
