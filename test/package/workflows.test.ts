// Workflows and issue forms are well-formed, run what there is, and may no more than they need.
import { strict as assert } from "node:assert";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { root } from "../support/markdown.ts";

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly "runs-on": string;
  readonly "timeout-minutes"?: number;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly environment?: string;
  readonly strategy?: { readonly matrix: Readonly<Record<string, readonly string[]>> };
  readonly steps: readonly Step[];
}

interface Workflow {
  readonly name: string;
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

function load(file: string): unknown {
  const [document, ...others] = parseAllDocuments(readFileSync(join(root, file), "utf8"), { uniqueKeys: true });
  if (document === undefined || others.length > 0) throw new Error(`expected one document in ${file}`);
  assert.deepEqual([...document.errors, ...document.warnings], [], file);
  return document.toJS() as unknown;
}

const workflows = new Map(globSync(".github/workflows/*.yml", { cwd: root }).map((file) => [file, load(file) as Workflow]));
const jobs = [...workflows].flatMap(([file, workflow]) => Object.entries(workflow.jobs).map(([name, job]) => ({ name: `${file} ${name}`, workflow, job })));
const steps = jobs.flatMap(({ name, job }) => job.steps.map((step) => ({ name, job, step })));

test("every action is pinned to a version, and leaves no credentials behind", () => {
  const used = steps.filter(({ step }) => step.uses !== undefined);
  assert.ok(used.length >= 15);
  for (const { name, step } of used) {
    assert.match(step.uses ?? "", /^[\w-]+\/[\w-]+@(v\d+\.\d+\.\d+|[0-9a-f]{40})$/, name);
    if (step.uses?.startsWith("actions/checkout@") === true) assert.equal(step.with?.["persist-credentials"], false, name);
  }
  const versions = new Map<string, Set<string>>();
  for (const { step } of used) {
    const [action = "", version = ""] = (step.uses ?? "").split("@");
    versions.set(action, new Set([...(versions.get(action) ?? []), version]));
  }
  for (const [action, all] of versions) assert.equal(all.size, 1, `${action} in one version`);
});

test("every job ends, and may read alone unless it says what for", () => {
  for (const { name, workflow, job } of jobs) {
    assert.ok((job["timeout-minutes"] ?? 0) > 0, name);
    assert.equal(workflow.permissions["contents"], "read", name);
    const writes = Object.entries({ ...workflow.permissions, ...job.permissions }).filter(([, right]) => right === "write");
    if (writes.length > 0) assert.ok(job.environment !== undefined, `${name}: what may write runs in an environment`);
    if ("pull_request" in workflow.on) assert.deepEqual(writes, [], name);
    assert.equal("pull_request_target" in workflow.on, false, name);
  }
  // Texts of others never become part of a script.
  for (const { name, step } of steps) assert.doesNotMatch(step.run ?? "", /\$\{\{\s*github\.(event|head_ref)/, name);
});

test("every npm script, file and suite that a workflow runs exists; the supported lines of Node and the long suites are tried", () => {
  const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly scripts: Readonly<Record<string, string>> };
  const lines = [...steps.map(({ step }) => step.run ?? ""), ...jobs.flatMap(({ job }) => job.strategy?.matrix["command"] ?? [])];
  const run = lines.flatMap((line) => [...line.matchAll(/npm run ([\w:]+)/g)].map(([, script = ""]) => script));
  assert.deepEqual(
    run.filter((script) => scripts[script] === undefined),
    [],
  );
  for (const wanted of ["test:drills", "test:admin", "test:foreign", "test:image", "test:deploy", "test:azure", "mutation", "fuzz", "drill", "bench", "sbom"])
    assert.ok(run.includes(wanted), `expected a workflow to run ${wanted}`);
  for (const line of lines) for (const [file] of line.matchAll(/(?:deploy|\.ci)\/[\w./-]+/g)) assert.ok(globSync(file, { cwd: root }).length === 1, file);
  assert.deepEqual(workflows.get(".github/workflows/tests.yml")?.jobs["test"]?.strategy?.matrix["node"], ["24", "26"]);
  assert.ok(lines.some((line) => /npm publish --provenance/.test(line)));
});

test("secrets are asked for by name, and no place that packages or images come from is written down", () => {
  for (const file of workflows.keys()) {
    const text = readFileSync(join(root, file), "utf8");
    assert.doesNotMatch(text, /https?:\/\//, file);
    for (const [secret] of text.matchAll(/secrets\.\w+/g))
      assert.match(secret, /^secrets\.(PACKAGE_TOKEN|IMAGE_TOKEN|AZURE_SERVICE_BUS_CONNECTION_STRING)$/, file);
  }
});

test("issue forms have what GitHub asks of a form, and send weaknesses elsewhere", () => {
  const forms = globSync(".github/ISSUE_TEMPLATE/*.yml", { cwd: root }).filter((file) => !file.endsWith("config.yml"));
  assert.ok(forms.length >= 2);
  for (const file of forms) {
    const form = load(file) as {
      readonly name: string;
      readonly description: string;
      readonly body: readonly {
        readonly type: string;
        readonly id: string;
        readonly attributes: { readonly label: string; readonly options?: readonly string[] };
      }[];
    };
    assert.ok(form.name.length > 0 && form.description.length > 0);
    assert.equal(new Set(form.body.map(({ id }) => id)).size, form.body.length);
    for (const { type, attributes } of form.body) {
      assert.ok(["textarea", "input", "dropdown"].includes(type) && attributes.label.length > 0);
      assert.equal(type === "dropdown", attributes.options !== undefined);
    }
  }
  assert.match(readFileSync(join(root, ".github/ISSUE_TEMPLATE/fault.yml"), "utf8"), /SECURITY\.md/);
});
