/** The files of a new skill: its plugin, and a test of it. */
import { camelCase, pascalCase } from "./names.ts";

export interface NewSkill {
  /** In words joined by `-`. */
  readonly name: string;
  readonly eventType: string;
  /** Dependency that it calls; undefined for none. */
  readonly dependency: string | undefined;
  /** Where a plugin of the project defines it already; undefined for one that is made with the skill. */
  readonly definedIn?: { readonly plugin: string; readonly constant: string } | undefined;
  /** What runs the project's tests. */
  readonly runner: TestRunner;
  /** Whether its event gets a contract; a type that has one already keeps it. */
  readonly hasContract: boolean;
}

/** The package, which only the projects that are made have. */
export const vitest = "vitest";

export type TestRunner = "node" | "vitest" | "jest";

export function importsOfRunner(runner: TestRunner): readonly string[] {
  if (runner === "node") return ['import { strict as assert } from "node:assert";', 'import { test } from "node:test";'];
  return [`import { expect, test } from "${runner === "jest" ? "@jest/globals" : vitest}";`];
}

/** Names in code that one of the files has taken already, in whatever place. */
const taken = new Set(
  "assert context contract default defineDependency definePlugin defineSkill dependencies emitted event eventType expect fault id outcome payload plugin reason result status step stub test testSkill z".split(
    " ",
  ),
);

/** Name of a constant for what is called so; a word that cannot be one gets an ending. */
function constantOf(name: string, ending: string): string {
  let constant = camelCase(name);
  while (taken.has(constant) || reserved.has(constant)) constant += ending;
  return constant;
}

/** Words that cannot be the name of a constant. */
export const reserved: ReadonlySet<string> = new Set(
  "arguments await break case catch class const continue debugger delete do else enum eval export extends false finally for function if implements import in instanceof interface let new null package private protected public return static super switch this throw true try typeof undefined var void while with yield".split(
    " ",
  ),
);

function serviceOf(dependency: string, skill: string): string {
  const service = constantOf(dependency, "Service");
  return service === skill ? `${service}Service` : service;
}

/** How its plugin, test and stubs get the service and the skill from where they are defined. */
function importsOf(service: string, skill: string | undefined, { definedIn }: NewSkill): readonly string[] {
  const names = [...(definedIn === undefined ? [service] : []), ...(skill === undefined ? [] : [skill])];
  const own = names.length === 0 ? [] : [`import { ${names.join(", ")} } from "./index.ts";`];
  if (definedIn === undefined) return own;
  const { plugin, constant } = definedIn;
  return [`import { ${constant === service ? service : `${constant} as ${service}`} } from "../${plugin}/index.ts";`, ...own];
}

/** An event that a skill tells of when it is done: `RefundRequested` becomes `RefundDone`. */
function outcomeOf(eventType: string): string {
  return `${eventType.replace(/(?:Requested|Submitted|Created|Placed|Received|Started|Sent)$/, "")}Done`;
}

function manifest({ name, dependency }: NewSkill): string {
  const plugin = { name, version: "1.0.0", entry: "./index.ts", skills: [name], ...(dependency === undefined ? {} : { dependencies: [dependency] }) };
  return `${JSON.stringify(plugin, undefined, 2)}\n`;
}

/** What the payload is: the contract that is made with the skill, or a schema of its own. */
function payloadOf({ eventType, hasContract }: NewSkill): { readonly imported: string; readonly schema: string } {
  return hasContract
    ? { imported: `import contract from "../../${contractFolder(eventType)}/1.0.ts";`, schema: "contract" }
    : { imported: 'import { z } from "zod";', schema: "z.object({ id: z.string() })" };
}

export function contractFolder(eventType: string): string {
  return `contracts/${eventType}`;
}

const contract = `import { z } from "zod";

export default z.object({ id: z.string() });
`;

function entry(made: NewSkill): string {
  const { name, eventType, dependency } = made;
  const { imported, schema } = payloadOf(made);
  const skill = constantOf(name, "Skill");
  const told = outcomeOf(eventType);
  if (dependency === undefined)
    return `import { definePlugin, defineSkill } from "holdfast";
${imported}

export const ${skill} = defineSkill({
  name: "${name}",
  handles: [{ eventType: "${eventType}" }],
  payload: ${schema},
  async run(context) {
    const { id } = context.event.payload;
    const result = await context.step("work", { kind: "idempotent" }, () => id.toUpperCase());
    context.emit("${told}", { id, result });
  },
});

export default definePlugin({ skills: [${skill}] });
`;
  const service = serviceOf(dependency, skill);
  const head =
    made.definedIn === undefined
      ? `import { defineDependency, definePlugin, defineSkill } from "holdfast";
${imported}

export const ${service} = defineDependency({ name: "${dependency}", baseUrl: "https://${dependency}.example.com" });`
      : `import { definePlugin, defineSkill } from "holdfast";
${[imported, ...importsOf(service, undefined, made)].join("\n")}`;
  return `${head}

export const ${skill} = defineSkill({
  name: "${name}",
  handles: [{ eventType: "${eventType}" }],
  payload: ${schema},
  uses: [${service}],
  async run(context) {
    const { id } = context.event.payload;
    const { status } = await context.step("call", (step) => step.call(${service}, { method: "POST", path: "/${name}", body: { id } }));
    context.emit("${told}", { id, status });
  },
});

export default definePlugin({ skills: [${skill}], dependencies: [${service}] });
`;
}

function testOf(made: NewSkill): string {
  const { name, eventType, dependency, runner } = made;
  const skill = constantOf(name, "Skill");
  const told = outcomeOf(eventType);
  const service = dependency === undefined ? undefined : serviceOf(dependency, skill);
  const tools = service === undefined ? "testSkill" : "fault, stub, testSkill";
  const given = service === undefined ? "{ event }" : "{ event, dependencies }";
  const payload = service === undefined ? '{ id: "a-1", result: "A-1" }' : '{ id: "a-1", status: 200 }';
  const equal = (found: string, expected: string): string =>
    runner !== "node" ? `expect(${found}).toEqual(${expected});` : `assert.deepEqual(${found}, ${expected});`;
  return `${importsOfRunner(runner).join("\n")}
import { ${tools} } from "holdfast/testing";
${service === undefined ? `import { ${skill} } from "./index.ts";` : importsOf(service, skill, made).join("\n")}
${service === undefined ? "" : 'import dependencies from "./stubs.ts";\n'}
const event = { payload: { id: "a-1" } };

test("tells of what it did", async () => {
  const { outcome, emitted } = await testSkill(${skill}, ${given});
  ${equal("outcome", '"completed"')}
  ${equal("emitted.map(({ eventType, payload }) => ({ eventType, payload }))", `[{ eventType: "${told}", payload: ${payload} }]`)}
});

test("ends the same in every way: duplicates, crashes and failing calls", async () => {
  await testSkill.everyWay(${skill}, ${given});
});
${
  service === undefined
    ? ""
    : `
test("is given up when ${dependency} refuses for good", async () => {
  const { outcome, reason } = await testSkill(${skill}, { event, dependencies: [stub(${service}, fault.status(422))] });
  ${equal("[outcome, reason]", '["dead-lettered", "HTTP_422"]')}
});
`
}`;
}

/** What stands in for the service, in tests and where the skill is tried by hand. */
function stubs(dependency: string, made: NewSkill): string {
  const service = serviceOf(dependency, constantOf(made.name, "Skill"));
  return `import { stub } from "holdfast/testing";
${importsOf(service, undefined, made).join("\n")}

/** Stand-ins: for the tests here, for \`holdfast dev --plugin\` and for \`holdfast debug --stubs\`. */
export default [stub(${service}, { status: 200 })];
`;
}

/** A payload to try it with: `holdfast send --example NAME`. */
function example(): string {
  return `${JSON.stringify({ id: "a-1" }, undefined, 2)}\n`;
}

/** By path from the project's root. */
export function skillFiles(skill: NewSkill): ReadonlyMap<string, string> {
  const folder = `plugins/${skill.name}`;
  return new Map([
    [`${folder}/holdfast.plugin.json`, manifest(skill)],
    [`${folder}/index.ts`, entry(skill)],
    [`${folder}/${skill.name}.test.ts`, testOf(skill)],
    ...(skill.dependency === undefined ? [] : ([[`${folder}/stubs.ts`, stubs(skill.dependency, skill)]] as const)),
    [`${folder}/examples/${pascalCase(skill.eventType)}.json`, example()],
    ...(skill.hasContract
      ? ([
          [`${contractFolder(skill.eventType)}/1.0.ts`, contract],
          [`${contractFolder(skill.eventType)}/examples/1.0.json`, example()],
        ] as const)
      : []),
  ]);
}
