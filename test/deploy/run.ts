// `npm run test:deploy`: renders and checks all that can be rendered on this machine, then says what was not, and why.
import "#runtime/cli/require-node.ts";
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

interface Part {
  readonly what: string;
  /** What renders or checks it; undefined where nothing here can. */
  readonly by: readonly [command: string, ...args: string[]] | undefined;
  readonly otherwise: string;
}

const parts: readonly Part[] = [
  {
    what: "overlays of Kustomize, against the schemas of Kubernetes and KEDA",
    by: ["kubectl", "version", "--client"],
    otherwise: "no kubectl: install it, `kubectl kustomize` needs no cluster",
  },
  { what: "rules of Prometheus, with their trials", by: ["promtool", "--version"], otherwise: "no promtool: Debian's package prometheus has it" },
  {
    what: "the chart, by Helm itself",
    by: ["helm", "version"],
    otherwise: "no Helm: its templates were rendered by test/support/helm-subset.ts, which takes the part of the language that they use",
  },
  {
    what: "compose.yaml, by Docker",
    by: ["docker", "compose", "version"],
    otherwise: "no Docker: its references were checked, nothing was started; the emulator's file was given to the local broker",
  },
  {
    what: "the collector's configuration, by the collector",
    by: ["otelcol-contrib", "--version"],
    otherwise: "no collector: its pipelines were checked for parts that are not defined",
  },
  {
    what: "Rollout, AnalysisTemplate, Application, PodMonitor against schemas",
    by: undefined,
    otherwise: "no package has their schemas: names, queries and references were checked",
  },
  {
    what: "all of it, by a cluster's API server",
    by: undefined,
    otherwise: "no cluster: `kubectl apply --dry-run=server -k deploy/kustomize/overlays/production` does that",
  },
];

const done = parts.filter(({ by }) => by !== undefined && spawnSync(by[0], by.slice(1)).status === 0);
const files = [
  ...globSync("test/deploy/*.test.ts", { cwd: root }).sort(),
  "test/documentation/prometheus-rules.test.ts",
  "test/policy/scale-simulation.test.ts",
  "test/package/dockerfile.test.ts",
];
const { status } = spawnSync(process.execPath, ["--test", "--test-reporter=spec", ...files], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, HOLDFAST_LONG: "1" },
});

const say = (text: string): void => void process.stdout.write(`${text}\n`);
say("\nrendered or checked by the tool that it is for:");
for (const { what } of done) say(`  ${what}`);
say("not:");
for (const part of parts.filter((one) => !done.includes(one))) say(`  ${part.what} (${part.otherwise})`);
process.exitCode = status ?? 1;
