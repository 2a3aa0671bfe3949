// Imported first by a thread in which a plugin's import is tried: its top level may not reach outside either.
import { closeOutside } from "./outside.ts";

closeOutside();
