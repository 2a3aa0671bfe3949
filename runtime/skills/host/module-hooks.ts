import { type ModuleHooks, registerHooks, type RegisterHooksOptions } from "node:module";

/**
 * Has these hooks see what is imported, until what it returns is called. Test runners that load modules themselves, as Jest does in the test's own thread, refuse hooks: there
 * names lead where the runner has them lead, and of a module that fails less is known. Skill threads are Node's own everywhere.
 */
export function hookModules(hooks: RegisterHooksOptions): () => void {
  let registered: ModuleHooks;
  try {
    registered = registerHooks(hooks);
  } catch {
    return () => undefined;
  }
  return () => registered.deregister();
}
