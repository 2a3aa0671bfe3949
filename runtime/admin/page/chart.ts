/** Curves over time, drawn by uPlot; what they say last is also said in words. */
import { h, type ComponentChild } from "preact";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

export interface Curve {
  readonly name: string;
  /** Of the style sheet. */
  readonly colour: "accent" | "bad-fill" | "warn-fill" | "good-fill";
  readonly values: readonly (number | null)[];
  /** What the last value is in words. */
  readonly now: string;
}

interface ChartProps {
  readonly title: string;
  readonly unit: string;
  readonly timesMs: readonly number[];
  readonly curves: readonly Curve[];
}

const heightPx = 150;

function colourOf(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function timeOf(seconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString([], { hour12: false });
}

function optionsOf(width: number, curves: readonly Curve[]): uPlot.Options {
  const axis = { stroke: () => colourOf("quiet"), grid: { stroke: () => colourOf("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  return {
    width,
    height: heightPx,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, max * 1.1)] } },
    axes: [
      { ...axis, size: 24, space: 80, values: (_plot, seconds) => seconds.map(timeOf) },
      { ...axis, size: 52 },
    ],
    series: [{}, ...curves.map(({ name, colour }) => ({ label: name, width: 2, stroke: () => colourOf(colour), points: { show: false }, spanGaps: true }))],
  };
}

export function Chart({ title, unit, timesMs, curves }: ChartProps): ComponentChild {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  useEffect(() => {
    const node = place.current;
    if (node === null) return undefined;
    const made = new uPlot(optionsOf(node.clientWidth || 300, curves), [[], ...curves.map(() => [])], node);
    plot.current = made;
    const resized = new ResizeObserver(() => made.setSize({ width: node.clientWidth, height: heightPx }));
    resized.observe(node);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const redraw = (): void => made.redraw(false, true);
    scheme.addEventListener("change", redraw);
    return () => {
      resized.disconnect();
      scheme.removeEventListener("change", redraw);
      made.destroy();
    };
  }, []);
  useEffect(() => {
    plot.current?.setData([timesMs.map((ms) => ms / 1_000), ...curves.map(({ values }) => [...values])]);
  });
  const said = curves.map(({ name, now }) => `${name} ${now}`).join(", ");
  return h(
    "figure",
    null,
    h(
      "figcaption",
      null,
      `${title} (${unit})`,
      h(
        "span",
        { class: "legend" },
        curves.map(({ name, colour, now }) => [
          h("span", { class: "swatch", style: { background: `var(--${colour})` }, "aria-hidden": "true" }),
          `${name} ${now}`,
        ]),
      ),
    ),
    h("div", { ref: place, role: "img", "aria-label": `${title}, now: ${said}` }),
  );
}
