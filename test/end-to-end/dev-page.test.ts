// `npm start` opens the live page in the browser of who sits at the terminal, and of nobody else.
import { strict as assert } from "node:assert";
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import { hasScreen, type Seat } from "#load/dev/open-page.ts";
import { eventually, within } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";

const root = resolve(import.meta.dirname, "../..");
const seat = (environment: Seat["environment"], more: Partial<Seat> = {}): Seat => ({ isTerminal: true, platform: "linux", environment, ...more });

test("somebody sees a browser at a terminal of a machine with a screen, and neither in CI, nor over SSH, nor where output is piped", () => {
  const seen: readonly Seat[] = [
    seat({ DISPLAY: ":0" }),
    seat({ WAYLAND_DISPLAY: "wayland-0" }),
    seat({ DISPLAY: "localhost:10.0", SSH_CONNECTION: "10.0.0.1 1 10.0.0.2 22" }),
    seat({ WSL_DISTRO_NAME: "Debian" }),
    seat({}, { platform: "darwin" }),
    seat({ CI: "false" }, { platform: "win32" }),
  ];
  for (const one of seen) assert.equal(hasScreen(one), true, JSON.stringify(one));
  const unseen: readonly Seat[] = [
    seat({}),
    seat({ DISPLAY: "" }),
    seat({ DISPLAY: ":0" }, { isTerminal: false }),
    seat({ DISPLAY: ":0", CI: "true" }),
    seat({ SSH_TTY: "/dev/pts/3" }, { platform: "darwin" }),
    seat({ SSH_CONNECTION: "10.0.0.1 1 10.0.0.2 22", WSL_DISTRO_NAME: "Debian" }),
  ];
  for (const one of unseen) assert.equal(hasScreen(one), false, JSON.stringify(one));
});

const hasTerminals = spawnSync("script", ["--version"], { encoding: "utf8" }).stdout?.includes("util-linux") ?? false;

interface Desk {
  readonly environment: NodeJS.ProcessEnv;
  /** The address that the browser was given; undefined while it was not started. */
  readonly opened: () => string | undefined;
}

/** A machine with a screen, whose browser writes down what it is to show, or does what `browser` says. */
function desk(t: TestContext, browser?: string): Desk {
  const folder = mkdtempSync(join(tmpdir(), "holdfast-desk-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const shown = join(folder, "shown");
  const programs = join(folder, "programs");
  mkdirSync(programs);
  const command = (name: string, text: string): string => {
    const file = join(programs, name);
    writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
    return file;
  };
  // No real browser of this machine is found, nor asked for.
  for (const name of ["xdg-mime", "xprop", "dbus-send"]) command(name, "exit 1");
  const program = command("browser", browser ?? `printf %s "$1" > "${shown}.part" && mv "${shown}.part" "${shown}"`);
  const { REDIS_URL: _redis, CI: _ci, ...own } = process.env;
  const kept = Object.fromEntries(Object.entries(own).filter(([name]) => !/^(?:XDG_|GNOME|KDE|DESKTOP|SSH_|WAYLAND|WSL)/.test(name)));
  return {
    environment: { ...kept, TERM: "xterm", DISPLAY: ":99", BROWSER: program, PATH: `${programs}${delimiter}${process.env["PATH"] ?? ""}` },
    opened: () => (existsSync(shown) ? readFileSync(shown, "utf8") : undefined),
  };
}

/** Runs the command with a terminal of its own; resolves with its exit code and what the terminal got. */
function atTerminal(args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ readonly code: number | null; readonly said: string }> {
  const words = [process.execPath, join(root, "runtime/cli/main.ts"), "dev", ...args].map((word) => `'${word}'`).join(" ");
  const child = spawn("script", ["--quiet", "--return", "--command", `stty rows 60 cols 160; exec ${words}`, "/dev/null"], {
    cwd: root,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (said += text));
  return new Promise((done) => child.once("close", (code) => done({ code, said })));
}

if (hasTerminals) {
  test("at a terminal the browser gets the address that is shown", async (t) => {
    const own = desk(t);
    const { code, said } = await within("the trial to end", atTerminal(["--events", "40"], own.environment), 120_000);
    assert.equal(code, 0, said.slice(-2_000));
    const address = await eventually("the browser to be started", own.opened);
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.ok(said.includes(`live page: ${address}`), said.slice(-2_000));
  });

  longTest("with --no-open no browser is started, and one that fails, or is not there, leaves the run as it is", async (t) => {
    const [closed, broken, gone] = [desk(t), desk(t, "exit 3"), desk(t)];
    const trials = [
      atTerminal(["--events", "40", "--no-open"], closed.environment),
      atTerminal(["--events", "40"], broken.environment),
      atTerminal(["--events", "40"], { ...gone.environment, BROWSER: "/nowhere/browser" }),
    ];
    for (const { code, said } of await within("the trials to end", Promise.all(trials), 120_000)) {
      assert.equal(code, 0, said.slice(-2_000));
      assert.match(said, /"effectsOnce":true/);
    }
    assert.deepEqual([closed.opened(), gone.opened()], [undefined, undefined]);
  });
}
