/** Whose events somebody may see and act on. */

/** Names of tenants; undefined for all of them, and for what belongs to none. */
export type Tenants = ReadonlySet<string> | undefined;

/** An event that does not say whose it is belongs to none of them. */
export function isOf(tenants: Tenants, tenant: string): boolean {
  return tenants === undefined || (tenant !== "" && tenants.has(tenant));
}
