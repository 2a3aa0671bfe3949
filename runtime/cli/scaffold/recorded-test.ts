/** The text of a test that holds a recorded run. */
import type { DoneBefore, TestEvent, TestMessage, TestSession } from "../../testing/skill-case.ts";
import { type CallAnswer } from "../../skills/host/call-answers.ts";
import { codeOf } from "./code-of.ts";
import { callOfPlace } from "../../testing/choose-answer.ts";
import { importsOfRunner, reserved, type TestRunner } from "./skill-files.ts";

/** How the test gets hold of what a plugin defines: by the name that its module exports, or of the plugin itself. */
export interface Exported {
  readonly name: string;
  /** Undefined where it is exported under no name. */
  readonly exported: string | undefined;
}

export interface RecordedTest {
  readonly runner: TestRunner;
  /** In TypeScript, not in JavaScript. */
  readonly isTyped: boolean;
  /** Of the plugin's module, from the test's place. */
  readonly module: string;
  readonly eventId: string;
  /** What the run came to, in words. */
  readonly failure: string;
  readonly skill: Exported;
  readonly event: TestEvent;
  readonly message: TestMessage | undefined;
  readonly session: TestSession | undefined;
  readonly done: readonly DoneBefore[];
  readonly stubs: readonly RecordedStub[];
  /** The file of stubs that answer the rest, from the test's place. */
  readonly stubsFile: string | undefined;
  /** Each a comment line. */
  readonly notes: readonly string[];
}

export interface RecordedStub {
  readonly dependency: Exported;
  readonly isHttp: boolean;
  readonly answers: readonly CallAnswer[];
}

/** What a call came to, as an answer of a stub. */
function answerCode({ came }: CallAnswer, isHttp: boolean): string {
  if ("failure" in came) {
    const { code, message, status, retryable, definite, retryAfterMs } = came.failure;
    if (isHttp && status !== undefined) return `fault.status(${status})`;
    const said = codeOf({ code, definite, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
    return `fault.thrown(new ${retryable ? "TransientError" : "PermanentError"}(${JSON.stringify(message)}, ${said}))`;
  }
  if (!isHttp) return codeOf(came.response, "    ");
  const { status, body } = came.response as { readonly status: number; readonly body: unknown };
  return codeOf({ ...(status === 200 ? {} : { status }), ...(body === undefined ? {} : { body }) }, "    ");
}

function stubCode(stub: RecordedStub, hasOthers: boolean, constantOf: ConstantOf): string {
  const { dependency, isHttp, answers } = stub;
  const calls = answers.map((answer) => {
    const call = Object.entries(callOfPlace(answer.step, answer.place)).map(([name, value]) => `${name}: ${JSON.stringify(value)}, `);
    return `    { ${call.join("")}answer: ${answerCode(answer, isHttp)} },\n`;
  });
  const others = hasOthers ? `, stubs.find(({ dependency }) => dependency.name === ${JSON.stringify(dependency.name)})` : "";
  return `stub(${constantOf(dependency)}, byCall([\n${calls.join("")}  ]${others}))`;
}

/** Names that the test has for something of its own. */
const taken = new Set(
  "assert byCall dependencies dependency description done event expect fault message name outcome PermanentError plugin reason session stub stubs test testSkill TransientError".split(
    " ",
  ),
);

type ConstantOf = (one: Exported) => string;

/** How the test calls what it uses: each by its own name where that is free, by what is exported first. */
function constantsOf({ skill, stubs }: RecordedTest): ConstantOf {
  const constants = new Map<Exported, string>();
  const all = [skill, ...stubs.map(({ dependency }) => dependency)];
  const isFree = (constant: string): boolean => !taken.has(constant) && !reserved.has(constant) && ![...constants.values()].includes(constant);
  for (const one of all.toSorted((a, b) => Number(a.exported === undefined) - Number(b.exported === undefined))) {
    let constant = one.exported ?? one.name.replaceAll(/[^\w$]+(\w?)/g, (_, next: string) => next.toUpperCase()).replace(/^(?=\d)/, "_");
    while (!isFree(constant)) constant += "Here";
    constants.set(one, constant);
  }
  return (one) => constants.get(one) ?? one.name;
}

function imported(one: Exported, constantOf: ConstantOf): string {
  const { exported } = one;
  const constant = constantOf(one);
  return exported === undefined || exported === constant ? (exported ?? "") : `${exported} as ${constant}`;
}

function imports({ runner, isTyped, module, skill, stubs, stubsFile }: RecordedTest, code: string, constantOf: ConstantOf): readonly string[] {
  const all = [skill, ...stubs.map(({ dependency }) => dependency)];
  const named = [...new Set(all.flatMap((one) => (one.exported === undefined ? [] : [imported(one, constantOf)])))].toSorted();
  const unnamed = all.some(({ exported }) => exported === undefined);
  const used = (names: readonly string[]): string => names.filter((name) => new RegExp(String.raw`\b${name}\b`).test(code)).join(", ");
  const errors = used(["PermanentError", "TransientError"]);
  const types = unnamed && isTyped ? ["type Dependency", "type Skill"] : [];
  const own = [...(errors === "" ? [] : [errors]), ...types].join(", ");
  return [
    ...importsOfRunner(runner),
    ...(own === "" ? [] : [`import { ${own} } from "holdfast";`]),
    `import { ${used(["byCall", "fault", "stub", "testSkill"])} } from "holdfast/testing";`,
    `import ${[...(unnamed ? ["plugin"] : []), ...(named.length > 0 ? [`{ ${named.join(", ")} }`] : [])].join(", ")} from ${JSON.stringify(module)};`,
    ...(stubsFile === undefined ? [] : [`import stubs from ${JSON.stringify(stubsFile)};`]),
  ];
}

function found({ isTyped, skill, stubs }: RecordedTest, constantOf: ConstantOf): readonly string[] {
  const of = (list: string, type: string, one: Exported): readonly string[] =>
    one.exported === undefined
      ? [`const ${constantOf(one)} = plugin.${list}.find(({ name }) => name === ${JSON.stringify(one.name)})${isTyped ? ` as ${type}` : ""};`]
      : [];
  return [...of("skills", "Skill", skill), ...stubs.flatMap(({ dependency }) => of("dependencies", "Dependency", dependency))];
}

export function recordedTest(test: RecordedTest): string {
  const { runner, isTyped, eventId, failure, skill, event, message, session, done, stubs, stubsFile, notes } = test;
  const constantOf = constantsOf(test);
  const others =
    stubsFile === undefined
      ? []
      : [`...stubs.filter(({ dependency }) => ${codeOf(stubs.map(({ dependency }) => dependency.name))}.every((name) => name !== dependency.name))`];
  const dependencies = [...stubs.map((one) => stubCode(one, stubsFile !== undefined, constantOf)), ...others];
  const given = [
    "event",
    ...(message === undefined ? [] : ["message"]),
    ...(session === undefined ? [] : ["session"]),
    ...(done.length === 0 ? [] : ["done"]),
    ...(dependencies.length === 0 ? [] : ["dependencies"]),
  ];
  const body = [
    `const event = ${codeOf(event)};`,
    ...(message === undefined ? [] : [`const message = ${codeOf(message)};`]),
    ...(session === undefined ? [] : [`const session = ${codeOf(session)};`]),
    ...(done.length === 0
      ? []
      : ["/** What was on record. */", `const done = ${codeOf(done)};`.replaceAll(/(kind|state): ("[a-zA-Z]+")/g, isTyped ? "$1: $2 as const" : "$&")]),
    ...(dependencies.length === 0 ? [] : [`const dependencies = [\n${dependencies.map((one) => `  ${one},`).join("\n")}\n];`]),
    "",
    `test(${JSON.stringify(`event ${eventId} completes`)}, async () => {`,
    `  const { outcome, reason, description } = await testSkill(${constantOf(skill)}, { ${given.join(", ")} });`,
    runner !== "node"
      ? '  expect([outcome, reason, description]).toEqual(["completed", "", ""]);'
      : '  assert.deepEqual([outcome, reason, description], ["completed", "", ""]);',
    "});",
  ].join("\n");
  const head = [`// Written by holdfast debug from event ${eventId}, which came to this: ${failure}`, ...notes.map((note) => `// ${note}`)];
  const consts = found(test, constantOf);
  return `${[...head.map((line) => line.replaceAll(/\s+/g, " ")), ...imports(test, body, constantOf), "", ...consts, ...(consts.length > 0 ? [""] : []), body].join("\n")}\n`;
}
