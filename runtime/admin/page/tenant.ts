/** What somebody sees who acts for some tenants: their events, and nothing of the worker. */
import { Fragment, h, type ComponentChild, type ComponentChildren } from "preact";
import { type Caller, mayChange } from "./api.ts";

/** Why there are no levers, where there are none. */
export function Leave({ caller }: { readonly caller: Caller }): ComponentChild {
  return mayChange(caller) ? null : h("span", { class: "badge" }, "you may look, and change nothing: your role is viewer");
}

interface TenantPageProps {
  readonly caller: Caller;
  readonly tenants: readonly string[];
  /** Why the worker cannot be asked; empty while it can. */
  readonly lost: string;
  readonly children?: ComponentChildren;
}

export function TenantPage({ caller, tenants, lost, children }: TenantPageProps): ComponentChild {
  return h(
    Fragment,
    null,
    h("header", null, h("h1", null, "Holdfast"), h("span", { class: "who" }, `${caller.who}, for ${tenants.join(", ")}`), h(Leave, { caller })),
    h("main", { id: "main" }, lost === "" ? null : h("p", { class: "trouble", role: "status" }, `The worker does not answer: ${lost}`), children),
  );
}
