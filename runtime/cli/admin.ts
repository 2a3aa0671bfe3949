/** Opens the admin server of a worker, where it is configured: its libraries are loaded then alone. */
import type { Config } from "../core/config.ts";
import type { AdminParts, OpenAdmin } from "./admin-server.ts";

export type { AdminParts } from "./admin-server.ts";

/** Undefined where none is configured. Rejects when it cannot listen. */
export async function openAdmin(config: Config, directory: string, parts: AdminParts): Promise<OpenAdmin | undefined> {
  const { admin } = config;
  const { metrics } = parts;
  if (admin === undefined || metrics === undefined) return undefined;
  const { openServer } = await import("./admin-server.ts");
  return openServer({ ...config, admin }, directory, { ...parts, metrics });
}
