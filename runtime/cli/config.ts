/** `holdfast config`: what the configuration says after all, and where each value comes from. */
import Table from "cli-table3";
import { type DescribedSettings, describeSettings } from "../compose/settings.ts";
import type { JsonSchema } from "../core/config/json-schema.ts";
import { originOf } from "../core/config/layers.ts";
import { at, isSecret } from "../core/config/schema-places.ts";
import { counted } from "../core/counted.ts";
import { printableLines } from "../core/printable.ts";
import { describePlace, Secret } from "../core/secret.ts";
import { redact } from "../core/redact.ts";
import { configSchemaText, readConfigSchema } from "./config-schema.ts";
import { type ConfigFlags, type LoadedConfig, readConfig } from "./load-config.ts";
import { writeNote, writeResult, writeText } from "./output.ts";
import { fitted, tableWidths } from "./table-widths.ts";

export interface ConfigOptions extends ConfigFlags {
  readonly config?: string;
  readonly json?: boolean;
  readonly schema?: boolean;
}

interface Row {
  readonly key: string;
  readonly value: unknown;
  /** `default`, a place in the file, a variable or a flag. */
  readonly from: string;
}

const hidden = "[redacted]";

export async function config(options: ConfigOptions): Promise<void> {
  if (options.schema === true) return writeResult(configSchemaText());
  const loaded = await readConfig(options.config, options);
  const plugins = await describeSettings(loaded.config, loaded.directory);
  if (plugins.unloaded !== undefined) writeNote(`the settings of plugins were not checked, for the plugins could not be loaded: ${plugins.unloaded}`);
  const values = rowsOf(loaded, readConfigSchema(), plugins);
  if (options.json === true) return writeResult(`${JSON.stringify({ file: loaded.file, values, unread: loaded.unread }, undefined, 2)}\n`);
  print(loaded, values);
}

function rowsOf({ config: checked, layers, placeOf, file }: LoadedConfig, schema: JsonSchema, plugins: DescribedSettings): readonly Row[] {
  const rest = leavesOf({ ...checked, settings: undefined }, []);
  return [...rest, ...leavesOf(plugins.settings, ["settings"])].map(({ path, value }) => {
    const origin = originOf(layers, path);
    const from = "by" in origin ? origin.by : origin.layer === "file" ? (placeOf(path) ?? file) : "default";
    return {
      key: path.join("."),
      value: value instanceof Secret ? `[${describePlace(value.place)}]` : isSecret(at(schema, path)) || isHidden(path, plugins) ? hidden : shown(value),
      from,
    };
  });
}

/** Of a plugin that could not be loaded nobody knows what is secret. */
function isHidden([area, ...path]: readonly string[], plugins: DescribedSettings): boolean {
  return area === "settings" && (plugins.unloaded !== undefined || plugins.isSecret(path));
}

/** What looks like a secret is masked also where none belongs. */
function shown(value: unknown): unknown {
  if (typeof value === "string") return redact(value);
  if (Array.isArray(value)) return value.map(shown);
  return typeof value === "function" ? "[function]" : value;
}

interface Leaf {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** A list of plain values is one value. */
function leavesOf(value: unknown, path: readonly string[]): readonly Leaf[] {
  if (value === undefined) return [];
  if (value instanceof Map) return leavesOf(Object.fromEntries(value), path);
  if (typeof value !== "object" || value === null || value instanceof Secret) return [{ path, value }];
  if (Array.isArray(value) && value.every((entry) => typeof entry !== "object")) return [{ path, value }];
  return Object.entries(value).flatMap(([key, entry]) => leavesOf(entry, [...path, key]));
}

/** The key and the value share what is left beside each other; where it comes from gets the rest. */
const sharedColumns = [0.42, 0.33];

function print({ file, unread }: LoadedConfig, rows: readonly Row[]): void {
  const colWidths = tableWidths([], sharedColumns);
  const table = new Table({ head: ["key", "value", "from"], colWidths, wordWrap: true, style: { head: [], border: [] } });
  for (const { key, value, from } of rows) {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    table.push([key, text, from].map((cell, column) => fitted(printableLines(cell), colWidths[column] ?? 0)));
  }
  const others = unread.length === 0 ? "" : `not read, for nothing of ours has such a name: ${unread.join(", ")}\n`;
  writeText(`${counted(rows.length, "value")} of ${file}\n${table.toString()}\n${others}`);
}
