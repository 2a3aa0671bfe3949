// One broker a folder. A file in it names the process that uses it; a file that was left behind by a process that is gone is
// taken over. A process is known by its id and by when it began, for ids are used again, in containers at once.
import { linkSync, openSync, closeSync, readFileSync, renameSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

const fileName = "broker.lock";
/** Others may take over at the same time. */
const triesMax = 5;

/** Another broker uses the folder. */
export class FolderInUseError extends Error {
  readonly code = "FolderInUse";
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When it began, as the system tells it; empty where the system does not. */
  readonly began: string;
}

export interface FolderLock {
  /** The process whose lock was taken over, because it is gone. */
  readonly tookOverFrom: number | undefined;
  release(): void;
}

/** @throws FolderInUseError naming the process */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, fileName);
  const text = JSON.stringify({ pid: process.pid, host: hostname(), began: beganOf(process.pid) } satisfies Holder);
  let tookOverFrom: number | undefined;
  for (let tries = 0; tries < triesMax; tries++) {
    if (create(path, text)) return { tookOverFrom, release: () => rmSync(path, { force: true }) };
    const found = textOf(path);
    if (found === undefined) continue;
    const holder = holderOf(found);
    if (holder !== undefined && holder.host !== hostname()) {
      throw new FolderInUseError(
        `${folder}: expected a folder that no other broker uses, found a lock by process ${holder.pid} on ${holder.host}; stop it, or delete ${path} if it is gone`,
      );
    }
    if (holder !== undefined && isAlive(holder))
      throw new FolderInUseError(
        `${folder}: expected a folder that no other broker uses, found it in use by process ${holder.pid}; stop it, or choose another folder`,
      );
    if (takeAway(path, found)) tookOverFrom = holder?.pid;
  }
  throw new FolderInUseError(`${folder}: expected to lock the folder, found others doing the same; try again, or choose another folder`);
}

function create(path: string, text: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "wx", 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  writeSync(fd, text);
  closeSync(fd);
  return true;
}

/** Removes a lock that says `text`; puts it back when it says something else by now. */
function takeAway(path: string, text: string): boolean {
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return false;
  }
  const isSame = textOf(aside) === text;
  if (!isSame) putBack(aside, path);
  unlinkSync(aside);
  return isSame;
}

function putBack(aside: string, path: string): void {
  try {
    linkSync(aside, path);
  } catch {
    // Somebody else has taken it by now.
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    const { pid, host, began } = JSON.parse(text) as Partial<Holder>;
    return typeof pid === "number" && typeof host === "string" && typeof began === "string" ? { pid, host, began } : undefined;
  } catch {
    // It was killed before it had written all of it.
    return undefined;
  }
}

function isAlive({ pid, began }: Holder): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  const now = beganOf(pid);
  return began === "" || now === "" || began === now;
}

/** On Linux: the boot, and the tick at which a process began. */
function beganOf(pid: number): string {
  const stat = textOf(`/proc/${pid}/stat`);
  // The second field is the command's name in brackets and may hold anything; the 22nd is when it began.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  const began = fields?.[19];
  return began === undefined ? "" : `${textOf("/proc/sys/kernel/random/boot_id")?.trim() ?? ""}/${began}`;
}
