/** Values as TypeScript writes them, for files that a command makes. */

const plainName = /^[A-Za-z_$][\w$]*$/;
const lineMax = 100;

function keyed(name: string): string {
  return plainName.test(name) ? name : JSON.stringify(name);
}

function listed(items: readonly string[], open: string, close: string, indent: string): string {
  if (items.length === 0) return `${open}${close}`;
  const pad = open === "{" ? " " : "";
  const line = `${open}${pad}${items.join(", ")}${pad}${close}`;
  if (line.length + indent.length <= lineMax && !line.includes("\n")) return line;
  return `${open}\n${items.map((item) => `${indent}  ${item},`).join("\n")}\n${indent}${close}`;
}

/** Of plain data, dates, bytes, maps and sets; `indent` is that of the line it stands on. */
export function codeOf(value: unknown, indent = ""): string {
  const inner = `${indent}  `;
  if (typeof value === "bigint") return `${value}n`;
  if (value === undefined) return "undefined";
  if (typeof value === "number" && !Number.isFinite(value)) return Number.isNaN(value) ? "Number.NaN" : `${value < 0 ? "-" : ""}Number.POSITIVE_INFINITY`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (value instanceof Date) return `new Date(${JSON.stringify(value.toISOString())})`;
  if (value instanceof Error) return `new Error(${JSON.stringify(value.message)})`;
  if (value instanceof RegExp) return String(value);
  if (ArrayBuffer.isView(value)) {
    const base64 = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    return `Uint8Array.from(Buffer.from(${JSON.stringify(base64)}, "base64"))`;
  }
  if (value instanceof Map) return `new Map(${codeOf([...(value as Map<unknown, unknown>)], indent)})`;
  if (value instanceof Set) return `new Set(${codeOf([...(value as Set<unknown>)], indent)})`;
  if (Array.isArray(value))
    return listed(
      value.map((item) => codeOf(item, inner)),
      "[",
      "]",
      indent,
    );
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return listed(
    fields.map(([name, field]) => `${keyed(name)}: ${codeOf(field, inner)}`),
    "{",
    "}",
    indent,
  );
}
