// Checks that a client for Node makes, told as `checks.py` does.
type Check = () => Promise<void>;

const registered: (readonly [name: string, run: Check])[] = [];

export function check(name: string, run: Check): void {
  registered.push([name, run]);
}

/** Tells of each check as one line of JSON: its name, and what was wrong, if anything was. */
export async function runChecks(): Promise<void> {
  const tell = (line: object): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);
  for (const [name, run] of registered) {
    let wrong: string | null = null;
    try {
      await run();
    } catch (error) {
      wrong = error instanceof Error ? (error.stack ?? error.message) : String(error);
    }
    tell({ check: name, wrong });
  }
  tell({ end: registered.length });
}
