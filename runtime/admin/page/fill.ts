/** How much of something is used up, in numbers and as a bar. */
import { h, type ComponentChild } from "preact";

export function Fill({ label, value, max }: { readonly label: string; readonly value: number; readonly max: number }): ComponentChild {
  const part = max === 0 ? 0 : Math.min(1, value / max);
  const high = part >= 1 ? " is-full" : part >= 0.7 ? " is-high" : "";
  return h(
    "div",
    { class: "fill" },
    `${value} of ${max}`,
    h(
      "div",
      {
        class: "track",
        role: "meter",
        "aria-label": label,
        "aria-valuenow": value,
        "aria-valuemin": 0,
        "aria-valuemax": max,
        "aria-valuetext": `${value} of ${max}`,
      },
      h("div", { class: `bar${high}`, style: { width: `${part * 100}%` } }),
    ),
  );
}
