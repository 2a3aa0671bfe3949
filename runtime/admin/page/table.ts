/** The page's tables: wide ones scroll, and on a phone's width each row stacks its cells, which their `data-name` names. */
import { type ComponentChild, h } from "preact";

export function tableOf(columns: readonly string[], rows: ComponentChild): ComponentChild {
  const head = columns.map((name) => h("th", { scope: "col" }, name));
  return h("div", { class: "scroll" }, h("table", { class: "stacks" }, h("thead", null, h("tr", null, head)), h("tbody", null, rows)));
}
