/** What somebody sees who acts for some tenants: their events, and nothing of the worker. */
import { Fragment, h, type ComponentChild, type ComponentChildren } from "preact";

interface TenantPageProps {
  readonly who: string;
  readonly tenants: readonly string[];
  /** Why the worker cannot be asked; empty while it can. */
  readonly lost: string;
  readonly children?: ComponentChildren;
}

export function TenantPage({ who, tenants, lost, children }: TenantPageProps): ComponentChild {
  return h(
    Fragment,
    null,
    h("header", null, h("h1", null, "Holdfast"), h("span", { class: "who" }, `${who}, for ${tenants.join(", ")}`)),
    h("main", { id: "main" }, lost === "" ? null : h("p", { class: "trouble", role: "status" }, `The worker does not answer: ${lost}`), children),
  );
}
