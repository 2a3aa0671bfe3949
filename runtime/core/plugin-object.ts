/** A plugin as `definePlugin` makes it, in the program that configures the worker. */
export interface PluginObject {
  readonly kind: "holdfast.plugin";
}

/** A folder, a package, or the plugin itself. */
export type ListedPlugin = string | PluginObject;

export function isPluginObject(value: unknown): value is PluginObject {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "holdfast.plugin";
}
