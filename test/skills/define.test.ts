import { strict as assert } from "node:assert";
import { test } from "node:test";
import {
  type DependencyOptions,
  type HttpDependencyOptions,
  defaultBulkheadPolicy,
  defaultCallRetry,
  defaultCallTimeouts,
  defaultCircuitPolicy,
  defaultIsolation,
  defaultResponseBytesMax,
  defaultRetryPolicy,
  defaultSkillTimeoutMs,
  defineDependency,
  definePlugin,
  defineSkill,
} from "../../runtime/index.ts";
import { rangesOverlap, versionInRange } from "../../runtime/skills/author/version-range.ts";

const handles = [{ eventType: "Arrived" }];
const run = (): void => undefined;

/** Defining this is refused with this message, under the stable code. */
function refused(define: () => unknown, expected: RegExp): void {
  assert.throws(define, (error: Error & { code?: string }) => {
    assert.equal(error.code, "HOLDFAST_CONFIGURATION");
    assert.match(error.message, expected);
    return true;
  });
}

test("what a skill does not say has its default", () => {
  const skill = defineSkill({ name: "greet", handles, run });
  assert.deepEqual(
    { ...skill, run: undefined },
    {
      kind: "holdfast.skill",
      name: "greet",
      handles: [{ eventType: "Arrived", versions: ["1.x"] }],
      emits: undefined,
      payload: undefined,
      uses: [],
      concurrentMax: undefined,
      timeoutMs: defaultSkillTimeoutMs,
      retry: defaultRetryPolicy,
      isolation: defaultIsolation,
      critical: false,
      warmUp: undefined,
      steps: [],
      run: undefined,
    },
  );
  const retry = { attemptsMax: 2 };
  assert.deepEqual(defineSkill({ name: "greet", handles, run, retry }).retry, { ...defaultRetryPolicy, attemptsMax: 2 });
});

test("a skill that cannot be used is refused where it is defined", () => {
  const skill =
    (options: Record<string, unknown>): (() => unknown) =>
    () =>
      defineSkill({ name: "greet", handles, run, ...options });
  refused(skill({ timeout: 5 }), /^skill: expected only the keys name, handles, .*, got 'timeout'; did you mean 'timeoutMs'\?$/);
  refused(skill({ name: "two words" }), /^skill\.name: expected 1 to 64 characters .*, got "two words"$/);
  refused(skill({ concurrentMax: 0 }), /^skill 'greet'\.concurrentMax: expected a whole number from 1 to 10000, got 0$/);
  refused(skill({ handles: [] }), /^skill 'greet'\.handles: expected at least one \{ eventType, versions \}, got \[\]$/);
  refused(skill({ handles: [{ eventType: "a b" }] }), /^skill 'greet'\.handles\[0\]\.eventType: expected .*, got "a b"$/);
  refused(
    skill({ handles: [{ eventType: "A", version: "1.x" }] }),
    /^skill 'greet'\.handles\[0\]: expected only the keys eventType, versions, got 'version'; did you mean 'versions'\?$/,
  );
  refused(skill({ handles: [{ eventType: "A", versions: [] }] }), /expected at least one version, got \[\]$/);
  refused(skill({ timeoutMs: 0 }), /^skill 'greet'\.timeoutMs: expected a whole number from 1 to 3600000, got 0$/);
  refused(skill({ timeoutMs: "5s" }), /got "5s"$/);
  refused(skill({ retry: { attempts: 3 } }), /^skill 'greet'\.retry: expected only the keys attemptsMax, .*, got 'attempts'$/);
  refused(skill({ retry: { attemptsMax: 21 } }), /^skill 'greet'\.retry\.attemptsMax: expected a whole number from 1 to 20, got 21$/);
  refused(skill({ isolation: "process" }), /^skill 'greet'\.isolation: expected one of 'shared', 'dedicated', got "process"$/);
  refused(skill({ uses: [{ name: "post" }] }), /^skill 'greet'\.uses: expected dependencies made by defineDependency, got \{"name":"post"\}$/);
  refused(skill({ payload: 7 }), /^skill 'greet'\.payload: expected a Standard Schema validator or a JSON Schema object, got 7$/);
  refused(skill({ payload: { "~standard": { version: 2, validate: run } } }), /expected a Standard Schema of version 1/);
  refused(skill({ run: undefined }), /^skill 'greet': expected either run or steps, got "neither"$/);
  refused(skill({ steps: run }), /^skill 'greet': expected either run or steps, got "both"$/);
  refused(skill({ run: "code" }), /^skill 'greet'\.run: expected a function, got "code"$/);
  refused(skill({ run: undefined, steps: () => undefined }), /^skill 'greet'\.steps: expected the chain to be returned, got undefined$/);
  refused(skill({ run: undefined, steps: (begin: unknown) => begin }), /^skill 'greet'\.steps: expected at least one step, got 0$/);
});

test("a chain's steps are checked as they are built", () => {
  const chain =
    (...step: readonly unknown[]): (() => unknown) =>
    () =>
      defineSkill({ name: "greet", handles, steps: (begin) => (begin.step as unknown as (...step: readonly unknown[]) => typeof begin)(...step) });
  refused(chain("a b", {}, run), /^skill 'greet': expected a step name of 1 to 128 characters .*, got "a b"$/);
  refused(chain("a", { kind: "once" }, run), /^skill 'greet' step 'a'\.kind: expected one of 'keyed', .*, got "once"$/);
  refused(chain("a", { kind: "queryable" }, run), /^skill 'greet' step 'a'\.query: expected a function, got undefined$/);
  refused(chain("a", { query: run }, run), /^skill 'greet' step 'a'\.query: expected it only with kind 'queryable', got "keyed"$/);
  refused(chain("a", { retry: 3 }, run), /^skill 'greet' step 'a': expected only the keys kind, query, database, compensate, fallbacks, got 'retry'$/);
  refused(chain("a", {}), /^skill 'greet' step 'a': expected its effect, a function, as the last argument, got undefined$/);
});

test("what a dependency does not say has its default", () => {
  assert.deepEqual(defineDependency({ name: "post" }), {
    kind: "holdfast.dependency",
    name: "post",
    bulkhead: defaultBulkheadPolicy,
    circuit: defaultCircuitPolicy,
    timeouts: defaultCallTimeouts,
    retry: defaultCallRetry,
    limits: [],
    estimatedTokens: undefined,
    tokensOf: undefined,
    schemas: undefined,
    generativeAi: undefined,
    concurrency: undefined,
    baseUrl: undefined,
    responseBytesMax: defaultResponseBytesMax,
    request: undefined,
  });
  assert.equal(defineDependency({ name: "post", baseUrl: "https://x.example/api/" }).baseUrl, "https://x.example/api");
  assert.equal(defineDependency({ name: "post", timeouts: { totalMs: 500 } }).timeouts.connectMs, 500);
});

test("a dependency that cannot be used is refused where it is defined", () => {
  const dependency =
    (options: Record<string, unknown>): (() => unknown) =>
    () =>
      defineDependency({ name: "post", ...options } as DependencyOptions as HttpDependencyOptions);
  refused(dependency({ url: "http://x" }), /^dependency: expected only the keys name, bulkhead, .*, got 'url'$/);
  refused(dependency({ bulkhead: { concurrentMax: 0 } }), /^dependency 'post'\.bulkhead\.concurrentMax: expected a whole number from 1 to 10000, got 0$/);
  refused(dependency({ bulkhead: { whenFull: "drop" } }), /^dependency 'post'\.bulkhead\.whenFull: expected one of 'postpone', 'reject', got "drop"$/);
  refused(dependency({ circuit: { threshold: 1 } }), /^dependency 'post'\.circuit: expected only the keys mode, .*, got 'threshold'$/);
  refused(
    dependency({ circuit: { failureThreshold: 5, windowCalls: 4 } }),
    /^dependency 'post'\.circuit\.windowCalls: expected at least failureThreshold \(5\), got 4$/,
  );
  refused(dependency({ circuit: { callsMin: 30 } }), /^dependency 'post'\.circuit\.callsMin: expected at most windowCalls \(20\), got 30$/);
  refused(dependency({ circuit: { counts: ["all"] } }), /^dependency 'post'\.circuit\.counts: expected one of 'transient', .*, got "all"$/);
  refused(
    dependency({ timeouts: { connectMs: 900, totalMs: 500 } }),
    /^dependency 'post'\.timeouts: expected connectMs to be at most totalMs \(500\), got 900$/,
  );
  refused(dependency({ retry: { attemptsMax: 1.5 } }), /got 1\.5$/);
  refused(dependency({ baseUrl: "x.example" }), /expected an absolute http: or https: URL, got "x\.example"$/);
  refused(dependency({ baseUrl: "https://u:hunter2@x.example" }), /^(?!.*hunter2).*expected a URL without credentials/);
  refused(
    dependency({ baseUrl: "https://x.example/api?code=hunter2" }),
    /^(?!.*hunter2).*expected a URL without query or fragment, got "https:\/\/x\.example\/api\?…"/,
  );
  refused(dependency({ baseUrl: "https://x.example/#hunter2" }), /^(?!.*hunter2).*expected a URL without query or fragment/);
  refused(dependency({ baseUrl: "ftp://u:hunter2@x.example" }), /^(?!.*hunter2).*expected an absolute http: or https: URL, got "ftp:\/\/…@x\.example"/);
  refused(dependency({ baseUrl: "https://u:hunter2@x:y:z" }), /^(?!.*hunter2).*expected an absolute http: or https: URL/);
  refused(dependency({ request: run, baseUrl: "https://x.example" }), /expected either a request function or baseUrl/);
});

test("a definition's numbers have the limits of the configuration, and their kinds", () => {
  assert.equal(defineSkill({ name: "greet", handles, run, retry: { delayFactor: 2.5 } }).retry.delayFactor, 2.5);
  refused(() => defineSkill({ name: "greet", handles, run, retry: { delayFactor: 0.5 } }), /retry\.delayFactor: expected a number from 1 to 100, got 0\.5$/);
  refused(
    () => defineSkill({ name: "greet", handles, run, retry: { attemptsMax: 2.5 } }),
    /retry\.attemptsMax: expected a whole number from 1 to 20, got 2\.5$/,
  );
});

test("a plugin brings each skill and dependency once, and every dependency that its skills use", () => {
  const post = defineDependency({ name: "post" });
  const skill = defineSkill({ name: "greet", handles, uses: [post], run });
  assert.deepEqual(definePlugin({ skills: [skill], dependencies: [post] }).dependencies, [post]);
  refused(() => definePlugin({ skills: [skill] }), /^plugin: expected dependency 'post', which skill 'greet' uses, in its dependencies, got none$/);
  refused(() => definePlugin({ skills: [skill, skill], dependencies: [post] }), /^plugin: expected each skill once, got "greet"$/);
  refused(() => definePlugin({ skills: [] }), /^plugin\.skills: expected at least one skill made by defineSkill, got \[\]$/);
  refused(() => definePlugin({ skills: [{ ...skill, kind: "other" } as never] }), /made by defineSkill/);
});

test("a version range is a major version's minors, or one version", () => {
  assert.ok(versionInRange("1.0", "1.x") && versionInRange("1.12", "1.x") && versionInRange("1.2", "1.2"));
  assert.ok(!versionInRange("2.0", "1.x") && !versionInRange("11.0", "1.x") && !versionInRange("1.20", "1.2"));
  assert.ok(rangesOverlap("1.x", "1.3") && rangesOverlap("1.3", "1.x") && rangesOverlap("1.x", "1.x"));
  assert.ok(!rangesOverlap("1.x", "11.x") && !rangesOverlap("1.2", "1.3") && !rangesOverlap("1.2", "2.x"));
});
