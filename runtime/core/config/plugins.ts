// Where a worker's plugins come from.
import { z } from "zod";
import { type ListedPlugin, isPluginObject } from "../plugin-object.ts";

export const pluginsSchema: z.ZodType<readonly ListedPlugin[], readonly ListedPlugin[]> = z
  .array(
    z
      .custom<ListedPlugin>(
        (value) => isPluginObject(value) || (typeof value === "string" && value !== ""),
        "expected a folder, the name of a package, or what definePlugin makes",
      )
      // As much of it as a file of JSON or YAML can hold.
      .meta({ type: "string", minLength: 1 }),
  )
  .min(1);
