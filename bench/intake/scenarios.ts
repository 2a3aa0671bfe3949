export const scenarioNames: readonly string[] = ["scale-out", "waiting", "mixed", "bodies", "distance", "changes"];
