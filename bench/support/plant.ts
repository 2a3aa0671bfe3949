/**
 * A fault that is planted to see a guard fail: in one of the events of every turn a skill leaves its work out, fails for good, or
 * does it once more. Of Holdfast alone; peers need no help.
 */
export const plants = ["lost", "wrong", "twice"] as const;
export type Plant = (typeof plants)[number];

const variable = "HOLDFAST_BENCH_PLANT";
/** In every stream, and not among those that warm a worker up. */
const plantedPlace = 250;

let chosen: Plant | undefined;

/** For this process and the workers that it starts. */
export function plant(fault: Plant | undefined): void {
  chosen = fault;
}

export function planted(): Plant | undefined {
  return chosen;
}

export function plantedEnvironment(): Readonly<Record<string, string>> {
  return chosen === undefined ? {} : { [variable]: chosen };
}

/** In a worker: what is wrong with the event at a place. */
export function plantedAt(place: number): Plant | undefined {
  return place === plantedPlace ? (process.env[variable] as Plant | undefined) : undefined;
}
