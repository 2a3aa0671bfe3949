// Runs the kept examples: each is what its version says, and comes as far as the newest one.
import { messageOf } from "../core/errors.ts";
import { type CompiledContracts, convertPayload } from "./compiled-contracts.ts";
import type { Judgement } from "./judge-changes.ts";
import { type ContractExample, type ContractRegistry, type ContractType, majorOf, newestOf, upcastsOf } from "./registry.ts";

export function judgeExamples(registry: ContractRegistry, compiled: CompiledContracts): readonly Judgement[] {
  return [...registry.types.values()].flatMap((type) => [
    ...type.examples.flatMap((example) => judgeExample(type, example, compiled) ?? []),
    ...untested(type),
  ]);
}

function judgeExample(type: ContractType, { version, file, payload }: ContractExample, compiled: CompiledContracts): Judgement | undefined {
  const { eventType } = type;
  const say = (message: string): Judgement => ({ level: "breaking", eventType, version, file, path: "", message });
  const fault = compiled.describeFault(eventType, version, payload);
  if (fault !== undefined) return say(`expected the example to be what its version says: ${fault}; correct the example, or the contract`);
  const newestMinor = newestOf(type, majorOf(version))?.version ?? version;
  const inMajor = compiled.describeFault(eventType, newestMinor, payload);
  if (inMajor !== undefined) return say(`expected the example to be good for the newest minor as well: ${inMajor}; write what changed as a new major`);
  let at = { eventType, version, payload };
  for (const step of upcastsOf(type, majorOf(version))) {
    try {
      const converted = convertPayload(at, step);
      // It may have changed what it was given, and have returned that.
      const first = JSON.stringify(converted);
      if (first !== JSON.stringify(convertPayload(at, step)))
        return say(
          `expected ${step.upcaster.file} to be a pure function, it gave something else the second time; take what it adds from the payload alone, and change no part of it`,
        );
      const bad = compiled.describeFault(eventType, step.version.version, converted);
      if (bad !== undefined) return say(`expected ${step.upcaster.file} to make a payload of ${step.version.version} of it: ${bad}; correct the upcaster`);
      at = { eventType, version: step.version.version, payload: converted };
    } catch (error) {
      return say(`${messageOf(error, 1_000)}; correct the upcaster`);
    }
  }
  return undefined;
}

/** Upcasters that no example goes through. */
function untested(type: ContractType): readonly Judgement[] {
  return [...type.upcasters.values()]
    .filter(({ from }) => !type.examples.some(({ version }) => majorOf(version) === from))
    .map(({ from, file }) => ({
      level: "warning" as const,
      eventType: type.eventType,
      version: "",
      file,
      path: "",
      message: `no example of ${from}.x tests it; keep one as examples/${newestOf(type, from)?.version ?? `${from}.0`}.json`,
    }));
}
