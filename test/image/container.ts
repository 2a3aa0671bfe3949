// A container of the built image, as an engine would run it: process 1 of its own process namespace, in a chroot whose tree is
// read-only, as the user and in the folder that the image names, with its environment alone. Networks are this machine's.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { eventually } from "../support/eventually.ts";

export interface BuiltImage {
  /** Where the image's tree is mounted. */
  readonly root: string;
  readonly config: {
    readonly User: string;
    readonly Env: readonly string[];
    readonly WorkingDir: string;
    readonly Entrypoint: readonly string[];
    readonly Cmd: readonly string[];
    readonly Volumes: Readonly<Record<string, object>>;
    readonly Healthcheck: { readonly Test: readonly string[] };
  };
}

/** Makes the mounts that an engine makes, all of them gone with the namespace, and becomes what is to be run. */
const enter = `
set -e
root=$1; volume=$2; at=$3; shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero random urandom; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
mkdir "$root/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount --bind "$volume" "$root$at"
mount -o remount,bind,ro "$root"
exec "$@"
`;

export interface Container {
  /** Process 1, as this machine numbers it. */
  pid(): Promise<number>;
  readonly said: () => string;
  readonly ended: Promise<number | null>;
  /** What the image's health check says of it. */
  health(): number | null;
  /** As an engine does when its patience is over. Whoever changes its user outlives the parent that was killed: it is process 1 that must go. */
  kill(): Promise<void>;
}

export interface Ended {
  readonly code: number | null;
  readonly said: string;
}

async function endOf(container: Container): Promise<Ended> {
  return { code: await container.ended, said: container.said() };
}

export class Image {
  readonly #built: BuiltImage;
  readonly volume: string;

  /** `volume`: a folder that stands in the place of the image's volume. */
  constructor(built: BuiltImage, volume: string) {
    this.#built = built;
    this.volume = volume;
    const [user, group] = built.config.User.split(":").map(Number);
    mkdirSync(volume, { recursive: true });
    // An engine gives a new volume the owner that the image's folder has.
    chownSync(volume, user ?? 0, group ?? 0);
    chmodSync(volume, 0o755);
  }

  /** The image's entry point with these arguments, or with its own. */
  start(args: readonly string[] = this.#built.config.Cmd, env: Readonly<Record<string, string>> = {}): Container {
    return this.#start([...this.config.Entrypoint, ...args], env);
  }

  /** Another command in the place of the entry point. */
  async runInstead(command: readonly string[]): Promise<Ended> {
    return endOf(this.#start(command, {}));
  }

  #start(command: readonly string[], env: Readonly<Record<string, string>>): Container {
    const { root, config } = this.#built;
    const [at] = Object.keys(config.Volumes);
    const inside = [...this.#chroot(env), ...command];
    const child = spawn(
      "unshare",
      ["--mount", "--propagation", "private", "--pid", "--fork", "sh", "-c", enter, "enter", root, this.volume, at ?? "/tmp", ...inside],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (said += text));
    const ended = once(child, "close").then(([code]) => code as number | null);
    const pid = (): number | undefined => {
      const children = `/proc/${child.pid}/task/${child.pid}/children`;
      return (existsSync(children) && Number.parseInt(readFileSync(children, "utf8"), 10)) || undefined;
    };
    return {
      pid: () => eventually("process 1 of the container", pid),
      said: () => said,
      ended,
      async kill() {
        const first = pid();
        if (first !== undefined) process.kill(first, "SIGKILL");
        await ended;
      },
      health: () => {
        const [, check = ""] = config.Healthcheck.Test;
        return spawnSync("nsenter", ["--target", String(pid()), "--mount", "--pid", ...this.#chroot({}), "sh", "-c", check]).status;
      },
    };
  }

  async run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
    return endOf(this.start(args, env));
  }

  #chroot(env: Readonly<Record<string, string>>): readonly string[] {
    const { root, config } = this.#built;
    const variables = [...config.Env, "HOME=/", "HOSTNAME=pool-1", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
    return ["chroot", `--userspec=${config.User}`, "--groups=", root, "env", "-i", `--chdir=${config.WorkingDir}`, ...variables];
  }

  get config(): BuiltImage["config"] {
    return this.#built.config;
  }

  /** Where something in the image lies on this machine. */
  path(inside: string): string {
    return join(this.#built.root, inside);
  }
}
