// Moves this process into a control group, then is the command line.
import { writeFileSync } from "node:fs";

const [group] = process.argv.splice(2, 1);
writeFileSync(`${group}/cgroup.procs`, String(process.pid));
await import("#runtime/cli/main.ts");
