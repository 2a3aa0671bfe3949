/** Opens the live page in the browser of whoever sits at the terminal. */
export interface Seat {
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  readonly platform: NodeJS.Platform;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Whether somebody sits before a screen of this machine. */
export function hasScreen({ isTerminal, platform, environment }: Seat): boolean {
  const isSet = (...names: readonly string[]): boolean => names.some((name) => (environment[name] ?? "") !== "");
  if (!isTerminal || (isSet("CI") && environment["CI"] !== "false")) return false;
  if (isSet("DISPLAY", "WAYLAND_DISPLAY")) return true;
  if (isSet("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")) return false;
  // Linux within Windows has the browser of Windows.
  return platform === "darwin" || platform === "win32" || isSet("WSL_DISTRO_NAME");
}

/** Waits for nothing. Where no browser can be started, or what starts one is not installed, nothing happens: the address stands on the terminal. */
export function openPage(address: string): void {
  import("open").then(({ default: open }) => open(address)).catch(() => undefined);
}
