// What Kustomize renders is what Kubernetes and KEDA take, safe to run, and fits what the worker does.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { type Config, parseConfig } from "#runtime/core/config.ts";
import { at, complaintsOf, deployFolder, find, hasKubectl, kindsWithoutSchema, kustomize, type Manifest, quantity } from "../support/kubernetes.ts";
import { unknownMetrics } from "../support/named-metrics.ts";

/** After `stopBudgetMs` a worker that hangs ends itself. */
const stopMarginSeconds = 5;
const idleWorkerBytes = 128 * 1024 ** 2;
const threadBytes = 64 * 1024 ** 2;

interface Rendered {
  readonly overlay: string;
  readonly all: readonly Manifest[];
  readonly deployment: Manifest;
  readonly config: Config;
}

function render(overlay: string): Rendered {
  const all = kustomize(overlay);
  const text = at(find(all, "ConfigMap"), "data", "holdfast.config.yaml") as string;
  // Of a development's, the secret's connection string is set by a variable.
  const given = parse(text) as Record<string, unknown>;
  const config = parseConfig(
    { serviceBus: { connectionString: "Endpoint=sb://emulator;SharedAccessKeyName=k;SharedAccessKey=s" }, ...given },
    "holdfast.config.yaml",
  );
  return { overlay, all, deployment: find(all, "Deployment"), config };
}

const container = ({ deployment }: Rendered): unknown => at(deployment, "spec", "template", "spec", "containers", 0);
const pod = ({ deployment }: Rendered): unknown => at(deployment, "spec", "template", "spec");

if (hasKubectl) {
  const overlays = ["development", "production"].map(render);
  const production = overlays[1]!;

  for (const rendered of overlays) {
    const { overlay, all, deployment, config } = rendered;

    test(`${overlay}: every object is as its schema says, and holds no key that is unknown to it`, () => {
      const checked = all.filter(({ kind }) => !kindsWithoutSchema.has(kind));
      assert.ok(checked.length >= 6);
      assert.deepEqual(checked.flatMap(complaintsOf), []);
    });

    test(`${overlay}: pods are as the restricted standard asks, and run as the image's user`, () => {
      const [, user = ""] = /^USER (\d+):/m.exec(readFileSync(join(deployFolder, "Dockerfile"), "utf8").slice(-2_000)) ?? [];
      const security = at(pod(rendered), "securityContext") as Record<string, unknown>;
      assert.deepEqual([security["runAsNonRoot"], security["runAsUser"], at(security, "seccompProfile", "type")], [true, Number(user), "RuntimeDefault"]);
      const own = at(container(rendered), "securityContext") as Record<string, unknown>;
      assert.deepEqual([own["allowPrivilegeEscalation"], own["readOnlyRootFilesystem"], at(own, "capabilities", "drop")], [false, true, ["ALL"]]);
      assert.equal(at(pod(rendered), "automountServiceAccountToken"), false);
      assert.deepEqual(at(pod(rendered), "hostNetwork"), undefined);
      assert.equal(find(all, "Namespace").metadata.labels?.["pod-security.kubernetes.io/enforce"], "restricted");
    });

    test(`${overlay}: the grace period holds the preStop hook, the drain and what ends a worker that hangs`, () => {
      const grace = at(pod(rendered), "terminationGracePeriodSeconds") as number;
      const preStop = (at(container(rendered), "lifecycle", "preStop", "sleep", "seconds") as number | undefined) ?? 0;
      const needed = preStop + config.stopBudgetMs / 1_000 + stopMarginSeconds;
      assert.ok(grace > needed, `expected more than ${needed} s, found ${grace}`);
    });

    test(`${overlay}: a core is asked for each thread and a half for the main one, and memory for all of them`, () => {
      const threads = config.threads ?? 0;
      assert.ok(threads >= 1);
      const cpu = quantity(at(container(rendered), "resources", "requests", "cpu") as string);
      const limit = quantity(at(container(rendered), "resources", "limits", "memory") as string);
      assert.equal(cpu, threads + 0.5);
      assert.ok(limit >= 2 * (idleWorkerBytes + threads * threadBytes));
      assert.equal(at(container(rendered), "resources", "requests", "memory"), at(container(rendered), "resources", "limits", "memory"));
      assert.equal(at(container(rendered), "resources", "limits", "cpu"), undefined);
    });

    test(`${overlay}: what selects pods selects these, and no other pool's`, () => {
      const labels = at(deployment, "spec", "template", "metadata", "labels") as Record<string, string>;
      const selectors = all.flatMap((one): readonly unknown[] => {
        if (one.kind === "Service") return [at(one, "spec", "selector")];
        if (one.kind === "NetworkPolicy") return [at(one, "spec", "podSelector", "matchLabels")];
        if (["PodDisruptionBudget", "PodMonitor", "Rollout", "Deployment"].includes(one.kind)) return [at(one, "spec", "selector", "matchLabels")];
        return [];
      });
      assert.ok(selectors.length >= 3);
      for (const selector of selectors) {
        assert.ok(Object.keys(selector ?? {}).length > 0);
        for (const [label, value] of Object.entries((selector ?? {}) as Record<string, unknown>)) assert.equal(labels[label], value);
      }
    });

    test(`${overlay}: each file and folder that the worker writes to is a volume, and names that are referred to exist`, () => {
      const volumes = at(pod(rendered), "volumes") as readonly { readonly name: string; readonly configMap?: { readonly name: string } }[];
      const mounts = at(container(rendered), "volumeMounts") as readonly { readonly name: string; readonly mountPath: string }[];
      assert.deepEqual(mounts.map(({ mountPath }) => mountPath).filter((path) => ["/app/.holdfast", "/tmp", "/var/lib/holdfast"].includes(path)).length, 3);
      assert.deepEqual(
        mounts.filter(({ name }) => !volumes.some((volume) => volume.name === name)),
        [],
      );
      const names = new Set(all.map(({ metadata }) => metadata.name));
      for (const { configMap } of volumes) if (configMap !== undefined) assert.ok(names.has(configMap.name), configMap.name);
      assert.ok(names.has(at(pod(rendered), "serviceAccountName") as string));
    });
  }

  test("probes are those of the admin server, on its port, and none kills a worker because something else is away", () => {
    const served = readFileSync(join(deployFolder, "../runtime/admin/server.ts"), "utf8");
    const ports = at(container(production), "ports") as readonly { readonly name: string; readonly containerPort: number }[];
    for (const [probe, path] of [
      ["startupProbe", "/startupz"],
      ["livenessProbe", "/livez"],
      ["readinessProbe", "/readyz"],
    ] as const) {
      const get = at(container(production), probe, "httpGet") as { readonly path: string; readonly port: string };
      assert.ok(get.path === path && served.includes(`"${path}"`));
      assert.equal(ports.find(({ name }) => name === get.port)?.containerPort, production.config.admin?.port);
    }
    assert.equal(production.config.admin?.auth === undefined, false, "what listens on all addresses asks for tokens");
  });

  test("workers are spread over zones and nodes, replaced within two minutes, and disrupted a part at a time", () => {
    const keys = (at(pod(production), "topologySpreadConstraints") as readonly { readonly topologyKey: string }[]).map(({ topologyKey }) => topologyKey);
    assert.deepEqual(keys, ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]);
    for (const { tolerationSeconds } of at(pod(production), "tolerations") as readonly { readonly tolerationSeconds: number }[])
      assert.ok(tolerationSeconds <= 60);
    const budget = find(production.all, "PodDisruptionBudget");
    assert.equal(at(budget, "spec", "maxUnavailable"), "25%");
    assert.ok((at(find(production.all, "ScaledObject"), "spec", "minReplicaCount") as number) >= 3, "one in each zone");
  });

  test("no key is in the production overlay: workers and KEDA log in as identities", () => {
    assert.deepEqual(
      production.all.filter(({ kind }) => kind === "Secret"),
      [],
    );
    assert.doesNotMatch(JSON.stringify(production.all), /SharedAccessKey|password/i);
    assert.equal(at(production.deployment, "spec", "template", "metadata", "labels", "azure.workload.identity/use"), "true");
    assert.ok(find(production.all, "ServiceAccount").metadata.annotations?.["azure.workload.identity/client-id"]);
    assert.equal(at(find(production.all, "TriggerAuthentication"), "spec", "podIdentity", "provider"), "azure-workload");
  });

  test("network: in on the admin port alone, out to names, broker, store, TLS and the collector alone", () => {
    interface Rule {
      readonly from?: readonly object[];
      readonly to?: readonly object[];
      readonly ports?: readonly { readonly port: number }[];
    }
    const { ingress, egress, policyTypes } = find(production.all, "NetworkPolicy")["spec"] as {
      readonly ingress: readonly Rule[];
      readonly egress: readonly Rule[];
      readonly policyTypes: readonly string[];
    };
    assert.deepEqual(policyTypes, ["Ingress", "Egress"]);
    assert.deepEqual(
      ingress.flatMap(({ ports = [] }) => ports.map(({ port }) => port)),
      [production.config.admin?.port],
    );
    for (const { from, to, ports } of [...ingress, ...egress])
      assert.ok((from ?? to ?? []).length > 0 && (ports ?? []).length > 0, "no rule is for all peers or all ports");
    const names = egress.find(({ ports = [] }) => ports.every(({ port }) => port === 53));
    assert.deepEqual(names?.to?.at(-1), { ipBlock: { cidr: "169.254.0.0/16", except: ["169.254.169.254/32"] } }, "a cache of names on the node is reached");
    const outside = egress.find(({ to }) => JSON.stringify(to).includes("0.0.0.0/0"));
    assert.match(JSON.stringify(outside?.to), /169\.254\.0\.0\/16/);
    assert.deepEqual(
      outside?.ports?.map(({ port }) => port),
      [443, 5671, 6380, 8500],
    );
  });

  test("what scales and what judges a canary names metrics and workloads that there are", () => {
    assert.deepEqual(
      unknownMetrics(JSON.stringify(production.all.filter(({ kind }) => ["ScaledObject", "AnalysisTemplate"].includes(kind))).replaceAll('\\"', '"')),
      [],
    );
    const target = at(find(production.all, "ScaledObject"), "spec", "scaleTargetRef") as { readonly kind: string; readonly name: string };
    const rollout = find(production.all, "Rollout");
    assert.deepEqual([target.kind, target.name], ["Rollout", rollout.metadata.name]);
    assert.equal(at(rollout, "spec", "workloadRef", "name"), production.deployment.metadata.name);
    const used = [...JSON.stringify(rollout).matchAll(/"templateName":"([^"]+)"/g)].map(([, name]) => name);
    assert.ok(used.length > 0 && used.every((name) => name === find(production.all, "AnalysisTemplate").metadata.name));
    for (const trigger of at(find(production.all, "ScaledObject"), "spec", "triggers") as readonly { readonly authenticationRef?: { readonly name: string } }[])
      if (trigger.authenticationRef !== undefined) assert.equal(trigger.authenticationRef.name, find(production.all, "TriggerAuthentication").metadata.name);
    assert.equal(at(find(production.all, "ScaledObject"), "spec", "triggers", 1, "metadata", "queueName"), production.config.sources[0]?.name);
  });

  test("while Prometheus cannot be asked the pool is neither larger nor smaller than it was, nor below its least size", () => {
    const { fallback, minReplicaCount } = find(production.all, "ScaledObject")["spec"] as { readonly fallback: object; readonly minReplicaCount: number };
    assert.deepEqual(fallback, { failureThreshold: 4, behavior: "currentReplicasIfHigher", replicas: minReplicaCount });
  });

  test("what pods need is synchronised before them, and what looks after them is afterwards", () => {
    const waves = new Map(
      production.all.map(({ kind, metadata }) => [`${kind} ${metadata.name}`, Number(metadata.annotations?.["argocd.argoproj.io/sync-wave"])]),
    );
    const wave = (kind: string): number => [...waves].find(([name]) => name.startsWith(`${kind} `))?.[1] ?? Number.NaN;
    assert.deepEqual(
      [...waves].filter(([, number]) => Number.isNaN(number)).map(([name]) => name),
      [],
    );
    for (const needed of ["Namespace", "ServiceAccount", "NetworkPolicy", "AnalysisTemplate"]) assert.ok(wave(needed) < wave("Deployment"), needed);
    for (const later of ["PodDisruptionBudget", "ScaledObject", "PodMonitor"]) assert.ok(wave(later) > wave("Deployment"), later);
    assert.ok(wave("Namespace") < wave("ServiceAccount"));
    const [configMap = ""] = [...waves.keys()].filter((name) => name.startsWith("ConfigMap holdfast-config"));
    assert.ok((waves.get(configMap) ?? 0) < wave("Deployment"));
  });
}
