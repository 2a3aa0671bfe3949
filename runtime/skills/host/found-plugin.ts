/** What is known of a plugin before its code is. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly entry: string;
  readonly skills: readonly string[];
  readonly dependencies: readonly string[];
}

/** A listed plugin whose files are found and whose manifest is read, or that is given as an object and has said the same. */
export interface FoundPlugin {
  /** Names the plugin in errors. */
  readonly owner: string;
  readonly listedAs: string;
  /** Links followed. */
  readonly folder: string;
  /** `file:` URL of its entry module. */
  readonly url: string;
  readonly manifest: Manifest;
}
