// Holds every assumption against a namespace, that of AZURE_SERVICE_BUS_CONNECTION_STRING or AZURE_SERVICE_BUS_NAMESPACE, and prints what differs. `--short` leaves out what takes seconds, `--json` prints JSON.
import { isDeepStrictEqual } from "node:util";
import { messageOf } from "#runtime/core/errors.ts";
import { type Assumption, assumptions } from "./assumptions.ts";
import { endToEnd } from "./end-to-end.ts";
import { type Login, Scene } from "./scene.ts";
import { sessionAssumptions } from "./sessions.ts";

interface Verdict {
  readonly name: string;
  readonly holds: boolean;
  readonly expected: object;
  readonly found: unknown;
}

async function loginOf(): Promise<Login> {
  const { AZURE_SERVICE_BUS_CONNECTION_STRING: connectionString = "", AZURE_SERVICE_BUS_NAMESPACE: fullyQualifiedNamespace = "" } = process.env;
  if (connectionString !== "") return { connectionString };
  if (fullyQualifiedNamespace === "")
    throw new Error("expected AZURE_SERVICE_BUS_CONNECTION_STRING or AZURE_SERVICE_BUS_NAMESPACE in the environment, found neither");
  const { DefaultAzureCredential } = await import("@azure/identity");
  return { fullyQualifiedNamespace, credential: new DefaultAzureCredential() };
}

async function judge(scene: Scene, assumption: Assumption): Promise<Verdict> {
  const { name, expected } = assumption;
  try {
    const found = await assumption.look(scene);
    return { name, holds: isDeepStrictEqual(found, expected), expected, found };
  } catch (error) {
    return { name, holds: false, expected, found: messageOf(error) };
  }
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);
const isShort = process.argv.includes("--short");
const asJson = process.argv.includes("--json");
const scene = new Scene(await loginOf());
const all = [...assumptions, ...sessionAssumptions, endToEnd].filter(({ isSlow }) => !isShort || isSlow !== true);
let verdicts: readonly Verdict[] = [];
let left: readonly string[] = [];
try {
  // All at once: each has entities of its own.
  verdicts = await Promise.all(all.map((assumption) => judge(scene, assumption)));
} finally {
  left = await scene.cleanUp();
}
if (asJson) say(JSON.stringify({ verdicts, left }));
else {
  for (const { name, holds, expected, found } of verdicts)
    say(
      holds
        ? `holds    ${name}`
        : `DIFFERS  ${name}\n           expected ${JSON.stringify(expected)}\n           found    ${typeof found === "string" ? found : JSON.stringify(found)}`,
    );
  say(
    `${verdicts.filter(({ holds }) => holds).length} of ${verdicts.length} assumptions hold; ${left.length === 0 ? "everything was cleaned up" : `left behind: ${left.join(", ")}`}`,
  );
}
// The official client leaves timers behind.
process.exit(verdicts.every(({ holds }) => holds) && left.length === 0 ? 0 : 1);
