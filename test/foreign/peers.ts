// The peers: where each comes from, and what came of getting it. `run.ts` gets them once; the tests read what it found.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Names the file in which a run tells its tests what it found. */
const environmentKey = "HOLDFAST_FOREIGN_PEERS";

/** The system's Python, which is where Debian's packages go. */
export const python = "/usr/bin/python3";

/** A peer that is there: its name with its version, and where it lies if it was made for this run. */
interface Present {
  readonly title: string;
  readonly folder: string;
}

/** A peer that is not to be had here, and why. */
interface Absent {
  readonly title: string;
  readonly absent: string;
}

export type Peer = Present | Absent;

export type PeerName =
  | "rabbitmq"
  | "protonPython"
  | "protonPrograms"
  | "azurePython"
  | "azurePyamqp"
  | "azureJs"
  | "azureJsNewest"
  | "azureJsNext"
  | "rhea"
  | "amqp10"
  | "activemq"
  | "azurePythonNewest"
  | "azureOthers";

interface Source {
  readonly title: string;
  /** Debian's packages that it needs. */
  readonly packages?: readonly string[];
  /** What comes out of the npm registry, into a folder of its own. */
  readonly npm?: readonly string[];
  /** What has to be built, from sources that a package brings. */
  readonly build?: (folder: string) => string | undefined;
  /** Reads the version that is printed. */
  readonly version: (folder: string) => string;
  /** Why it cannot be had anywhere yet, though one would look for it. */
  readonly never?: string;
}

/** Where the sources of the programs are. */
export const protonExamples = "/usr/share/proton/examples";
const protonPrograms = { c: ["broker", "direct", "send", "receive", "send-abort"], cpp: ["service_bus", "simple_send", "simple_recv", "scheduled_send"] };

const sources: Readonly<Record<PeerName, Source>> = {
  rabbitmq: { title: "RabbitMQ", packages: ["rabbitmq-server"], version: () => debianVersion("rabbitmq-server") },
  protonPython: { title: "Qpid Proton for Python", packages: ["python3-qpid-proton"], version: () => debianVersion("python3-qpid-proton") },
  protonPrograms: {
    title: "Qpid Proton's programs in C and C++",
    packages: ["libqpid-proton11-dev-examples", "libqpid-proton11-dev", "libqpid-proton-cpp12-dev", "gcc", "g++"],
    build: buildProton,
    version: () => debianVersion("libqpid-proton11-dev"),
  },
  azurePython: {
    title: "Azure's Service Bus SDK for Python",
    packages: ["python3-azure", "python3-uamqp"],
    version: () => `${moduleVersion("azure.servicebus._version", "VERSION")} on uamqp ${moduleVersion("uamqp", "__version__")}`,
  },
  azurePyamqp: {
    title: "Azure's AMQP in Python alone",
    packages: ["python3-azure"],
    version: () => `of azure-eventhub ${moduleVersion("azure.eventhub._version", "VERSION")}`,
  },
  azureJs: { title: "Azure's Service Bus SDK for JavaScript, as pinned", version: () => sdkVersion("node_modules") },
  azureJsNewest: {
    title: "Azure's Service Bus SDK for JavaScript, newest release",
    npm: ["@azure/service-bus@latest"],
    version: (folder) => sdkVersion(join(folder, "node_modules")),
  },
  azureJsNext: {
    title: "Azure's Service Bus SDK for JavaScript, next version",
    npm: ["@azure/service-bus@7.10.0-beta.2"],
    version: (folder) => sdkVersion(join(folder, "node_modules")),
  },
  rhea: { title: "rhea", version: () => npmVersion("node_modules/rhea") },
  amqp10: { title: "amqp10 for Node", npm: ["amqp10@3"], version: (folder) => npmVersion(join(folder, "node_modules/amqp10")) },
  activemq: {
    title: "ActiveMQ",
    version: () => "",
    never: "Debian's activemq comes without its AMQP connector (there is no activemq-amqp.jar in libactivemq-java), and no other package has it",
  },
  azurePythonNewest: {
    title: "Azure's Service Bus SDK for Python, newest release",
    version: () => "",
    never: "it is on the Python registry alone, and Debian has 7.8; its AMQP is tried as that of azure-eventhub",
  },
  azureOthers: { title: "Azure's Service Bus SDKs for Go, Java and .NET", version: () => "", never: "neither Debian nor npm has them" },
};

type Peers = Readonly<Record<PeerName, Peer>>;

function output(command: string, ...args: readonly string[]): string {
  // There is no output of a command that is not there, whatever its type says.
  const { stdout } = spawnSync(command, args, { encoding: "utf8" }) as { readonly stdout: string | null };
  return stdout?.trim() ?? "";
}

function debianVersion(name: string): string {
  return output("dpkg-query", "--show", "--showformat=${Version}", name);
}

function moduleVersion(name: string, attribute: string): string {
  return output(python, "-c", `import ${name} as m; print(m.${attribute})`);
}

function npmVersion(folder: string): string {
  return (JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { readonly version: string }).version;
}

function sdkVersion(modules: string): string {
  return `${npmVersion(join(modules, "@azure/service-bus"))} on rhea ${npmVersion(join(modules, "rhea"))} by core-amqp ${npmVersion(join(modules, "@azure/core-amqp"))}`;
}

function isInstalled(name: string): boolean {
  return output("dpkg-query", "--show", "--showformat=${Status}", name).includes("install ok installed");
}

function apt(...args: readonly string[]): boolean {
  // At run level 1 no package starts the service that it brings.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  return spawnSync("apt-get", ["--quiet", "-o", "DPkg::Lock::Timeout=300", ...args], { stdio: ["ignore", 2, 2], env }).status === 0;
}

/** Installs what is missing where that may be done. Returns what is missing still. */
function installPackages(names: readonly string[]): readonly string[] {
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0 || process.getuid?.() !== 0) return missing;
  process.stderr.write(`installing ${missing.join(", ")} (once)\n`);
  apt("update");
  // One that cannot be had must not keep the others out.
  if (!apt("install", "--yes", "--no-install-recommends", ...missing)) for (const name of missing) apt("install", "--yes", "--no-install-recommends", name);
  return missing.filter((name) => !isInstalled(name));
}

function buildProton(folder: string): string | undefined {
  for (const [language, compiler, libraries] of [
    ["c", "gcc", ["-lqpid-proton"]],
    ["cpp", "g++", ["-lqpid-proton-cpp", "-lqpid-proton"]],
  ] as const) {
    for (const name of protonPrograms[language]) {
      const source = join(protonExamples, language, `${name}.${language}`);
      const { status, stderr } = spawnSync(compiler, ["-o", join(folder, name), source, ...libraries, "-lpthread"], { encoding: "utf8" });
      if (status !== 0) return `${name}.${language} cannot be built: ${stderr.slice(0, 500)}`;
    }
  }
  return undefined;
}

async function get(source: Source, folder: string, missing: readonly string[]): Promise<Peer> {
  const { title, packages = [], npm, build } = source;
  if (source.never !== undefined) return { title, absent: source.never };
  const lacking = packages.filter((name) => missing.includes(name));
  if (lacking.length > 0)
    return {
      title,
      absent: `it needs the Debian packages ${lacking.join(", ")}; install them with: sudo apt-get install --no-install-recommends ${lacking.join(" ")}`,
    };
  await mkdir(folder);
  if (npm !== undefined) {
    const { status, stderr } = spawnSync("npm", ["install", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", ...npm], {
      encoding: "utf8",
    });
    if (status !== 0) return { title, absent: `npm cannot install ${npm.join(", ")}: ${stderr.trim().split("\n").at(-1) ?? ""}` };
  }
  const trouble = build?.(folder);
  if (trouble !== undefined) return { title, absent: trouble };
  return { title: `${title} ${source.version(folder)}`, folder };
}

/** Gets all that can be had, into a folder of this run, and returns the environment for the tests. */
export async function getPeers(folder: string): Promise<{ readonly peers: Peers; readonly environment: NodeJS.ProcessEnv }> {
  const entries = Object.entries(sources) as [PeerName, Source][];
  const missing = installPackages([...new Set(entries.flatMap(([, { packages = [] }]) => packages))]);
  const found: [string, Peer][] = [];
  for (const [name, source] of entries) found.push([name, await get(source, join(folder, name), missing)]);
  const peers = Object.fromEntries(found) as unknown as Peers;
  const file = join(folder, "peers.json");
  await writeFile(file, JSON.stringify(peers));
  return { peers, environment: { ...process.env, [environmentKey]: file } };
}

/** What a run found of a peer. */
export async function peerOf(name: PeerName): Promise<{ readonly title: string; readonly folder: string; readonly skip: string | false }> {
  const file = process.env[environmentKey];
  if (file === undefined)
    throw new Error("expected the peers to be there, found none; start these tests with `npm run test:foreign`, which can be given their files");
  const peer = (JSON.parse(await readFile(file, "utf8")) as Peers)[name];
  return "absent" in peer ? { title: peer.title, folder: "", skip: peer.absent } : { ...peer, skip: false };
}
