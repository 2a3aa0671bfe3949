import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a folder, and those above it that are missing; answers whether there was one to make. Throws as Node does where it cannot be made: who calls says what the folder is for.
 * Node's own way (`recursive`) never returns where a folder is there in which none can be made, as in /proc.
 */
export function makeFolder(folder: string): boolean {
  if (isFolder(folder)) return false;
  const above = dirname(folder);
  if (above !== folder && !existsSync(above)) makeFolder(above);
  try {
    mkdirSync(folder);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (isFolder(folder)) return false;
    throw error;
  }
  return true;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
