/** Where the admin server of this machine's worker listens, as its configuration says. */
import { ConfigurationError } from "../core/errors.ts";
import type { LoadedConfig } from "./load-config.ts";

export function adminAddressOf({ config: { admin }, file }: LoadedConfig): string {
  if (admin === undefined) throw new ConfigurationError(`expected 'admin' in ${file}, or --at URL, found neither`);
  const { host, port } = admin;
  const isAny = host === "0.0.0.0" || host === "::";
  return `http://${isAny ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host}:${port}`;
}
