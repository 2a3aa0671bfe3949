/**
 * What a sweep does. `compensations`: looks for runs under compensation that were left behind, and has them go on; `look`: looks for all
 * disagreements of records and messages, and reports them; `mend`: mends them, too.
 */
export type SweepForm = "compensations" | "look" | "mend";

export const sweepForms: readonly SweepForm[] = ["compensations", "look", "mend"];
