/** The files of a new project around its skills. */
import { skillFiles, type TestRunner, vitest } from "./skill-files.ts";

export interface NewProject {
  readonly name: string;
  readonly runner: TestRunner;
  /** Range of the runtime that the project is made with. */
  readonly holdfast: string;
  /** Versions of what else it installs. */
  readonly versions: ReadonlyMap<string, string>;
}

const firstSkill = { name: "greeter", eventType: "CustomerSignedUp", dependency: "mailer" } as const;

function packageJson({ name, runner, holdfast, versions }: NewProject): string {
  const tests = runner === "vitest" ? "vitest run" : 'node --test "plugins/**/*.test.ts"';
  const range = (of: string): Record<string, string> => ({ [of]: versions.get(of) ?? "*" });
  const description = {
    name,
    version: "0.1.0",
    private: true,
    type: "module",
    engines: { node: ">=24.12" },
    scripts: { start: "holdfast start", doctor: "holdfast doctor", test: `tsc && ${tests}` },
    dependencies: { holdfast, ...range("zod") },
    devDependencies: { ...range("@types/node"), ...range("typescript"), ...(runner === "vitest" ? range("vitest") : {}) },
  };
  return `${JSON.stringify(description, undefined, 2)}\n`;
}

function tsconfig(): string {
  const compilerOptions = {
    target: "es2024",
    lib: ["es2024", "esnext.disposable", "dom"],
    module: "nodenext",
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    noEmit: true,
    types: ["node"],
  };
  return `${JSON.stringify({ compilerOptions, include: ["holdfast.config.ts", "plugins", "contracts"] }, undefined, 2)}\n`;
}

const config = `import { readdirSync } from "node:fs";
import { defineConfig } from "holdfast";

export default defineConfig({
  sources: [{ queue: process.env["QUEUE"] ?? "customers" }],
  serviceBus: process.env["SERVICEBUS_CONNECTION_STRING"]
    ? { connectionString: process.env["SERVICEBUS_CONNECTION_STRING"] }
    : { fullyQualifiedNamespace: "my-namespace.servicebus.windows.net" },
  store: process.env["REDIS_URL"] ? { kind: "redis", url: process.env["REDIS_URL"] } : { kind: "sqlite", path: ".holdfast/runs.sqlite" },
  // Every folder in plugins/ is one.
  plugins: readdirSync(new URL("./plugins", import.meta.url), { withFileTypes: true }).flatMap((one) => (one.isDirectory() ? [\`./plugins/\${one.name}\`] : [])),
  pluginRoots: ["./plugins"],
  // What events carry: checked before a skill runs, and when it emits.
  contracts: "./contracts",
  publish: { entity: process.env["EVENTS"] ?? "events" },
});
`;

function dockerfile(): string {
  return `# The pool's image: the worker's, with this project's plugins and configuration. See README.md of holdfast, "The image".
FROM holdfast
COPY holdfast.config.ts /app/
COPY plugins /app/plugins
COPY contracts /app/contracts
`;
}

const workflow = `name: test
on: [push, pull_request]
jobs:
  test:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
        with:
          # Contracts are compared with those of an earlier commit.
          fetch-depth: 0
      - uses: actions/setup-node@v5
        with:
          node-version: 24
      - run: npm install
      - run: npm test
      - env:
          BASE: \${{ github.event.pull_request.base.sha || github.event.before }}
        # The first push of a branch or a tag has no commit before: then the last tag is taken.
        run: |
          if git cat-file -e "$BASE^{commit}" 2>/dev/null; then npx holdfast contracts check --against "$BASE"; else npx holdfast contracts check; fi
`;

function readme({ name }: NewProject): string {
  return `# ${name}

A pool of skills for Holdfast. \`npm test\` checks types and runs the skills' tests, in process, without a broker.

\`\`\`sh
npx holdfast new skill refund --event RefundRequested   # one more skill, with its test
npx holdfast dev --plugin ./plugins/greeter --watch     # the skill on this machine, with stand-ins by its stubs.ts; begins afresh when you save
npx holdfast send -c .holdfast/dev.config.json --example CustomerSignedUp   # an event from its examples/
npx holdfast debug EVENT_ID --to-test                   # goes through a failed event again, and writes a test of it
npx holdfast broker --queue customers --queue events    # a Service Bus on this machine; prints its connection string
SERVICEBUS_CONNECTION_STRING=… npx holdfast start       # a worker on it
npx holdfast doctor                                     # what a worker needs, checked
npx holdfast contracts check                            # whether a change of contracts breaks somebody
\`\`\`

| where | what |
|---|---|
| \`holdfast.config.ts\` | sources, store, plugins, where events go |
| \`plugins/NAME/\` | a skill: manifest, code, test, stand-ins (\`stubs.ts\`), example events |
| \`contracts/TYPE/\` | what an event carries, by version, with examples |
| \`Dockerfile\` | the image of the pool |
`;
}

/** By path from the project's root. */
export function projectFiles(project: NewProject): ReadonlyMap<string, string> {
  return new Map([
    ["package.json", packageJson(project)],
    ["tsconfig.json", tsconfig()],
    ["holdfast.config.ts", config],
    ["Dockerfile", dockerfile()],
    [".dockerignore", "node_modules\n.holdfast\n.git\n"],
    [".gitignore", "node_modules\n.holdfast\n"],
    [".github/workflows/test.yaml", workflow],
    ["README.md", readme(project)],
    ...(project.runner === "vitest"
      ? ([
          [
            "vitest.config.ts",
            `import { defineConfig } from "${vitest}/config";\n\nexport default defineConfig({ test: { include: ["plugins/**/*.test.ts"], testTimeout: 30_000 } });\n`,
          ],
        ] as const)
      : []),
    ...skillFiles({ ...firstSkill, runner: project.runner, hasContract: true }),
  ]);
}
