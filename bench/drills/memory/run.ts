import Table from "cli-table3";
import { exitCodes } from "#runtime/cli/exit-codes.ts";
import { showProgress } from "../../support/progress.ts";
import { startRedis } from "../../../test/support/redis-server.ts";
import { bodiesWithin, type Result, shapes } from "./bodies.ts";

export interface MemoryOptions {
  readonly messages: number;
  readonly json?: boolean;
}

/** In colours where they are seen. */
const style = process.stdout.isTTY ? {} : { style: { head: [], border: [] } };

export async function run({ messages, json }: MemoryOptions): Promise<number> {
  const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
  process.env["REDIS_URL"] = redis.url;
  const results: Result[] = [];
  let isBounded = true;
  try {
    for (const limitMb of [512, 256]) {
      for (const shape of shapes) {
        showProgress(`${shape.name} in ${limitMb} MB`);
        const result = await bodiesWithin(limitMb, shape, Math.round(messages * shape.part));
        isBounded &&= result.isBounded;
        results.push(result);
      }
    }
  } finally {
    showProgress("");
    await redis.stop();
  }
  report(results, isBounded, json === true);
  return results.every(({ broken }) => broken.length === 0) ? exitCodes.good : exitCodes.failed;
}

function report(results: readonly Result[], isBounded: boolean, json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ isBounded, results }));
    return;
  }
  const table = new Table({ head: ["limit", "bodies", "completed", "not first", "took", "resident at most", ""], ...style });
  for (const { limitMb, shape, completed, again, seconds, peakMb, broken } of results) {
    table.push([`${limitMb} MB`, shape, completed, again, `${seconds.toFixed(1)} s`, `${peakMb} MB`, broken.length === 0 ? "held" : broken.join("; ")]);
  }
  console.log(table.toString());
  if (!isBounded)
    console.log(
      "no memory cgroup could be made here (that takes root and cgroups of version 1): the worker had its limit by configuration, nothing enforced it",
    );
}
