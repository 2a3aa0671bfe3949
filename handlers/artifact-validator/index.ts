import { PermanentError, type Plugin, type Skill, definePlugin, defineSkill } from "#runtime/index.ts";
import { z } from "zod";
import { isSchemaName, validate, warmUpSchemas } from "./schemas.ts";

interface SubmittedArtifact {
  readonly artifactId: string;
  /** A definition of the webhook schemas, such as `issues$opened`. */
  readonly schema: string;
  readonly artifact: Readonly<Record<string, unknown>>;
}

const payload: z.ZodType<SubmittedArtifact> = z.object({
  artifactId: z.string().min(1).max(200),
  schema: z.string().min(1).max(100),
  artifact: z.looseObject({}),
});

const findingsMax = 20;

export const artifactValidator: Skill<SubmittedArtifact> = defineSkill({
  name: "artifact-validator",
  handles: [{ eventType: "ArtifactSubmitted", versions: "1.x" }],
  payload,
  timeoutMs: 10_000,
  warmUp: warmUpSchemas,
  run(context) {
    const { artifactId, schema, artifact } = context.event.payload;
    if (!isSchemaName(schema)) throw new PermanentError(`expected a known schema, got '${schema}'`, { code: "UNKNOWN_SCHEMA" });
    const findings = validate(schema, artifact, findingsMax);
    context.emit("ArtifactValidated", { artifactId, schema, valid: findings.length === 0, findings });
  },
});

const plugin: Plugin = definePlugin({ skills: [artifactValidator] });
export default plugin;
