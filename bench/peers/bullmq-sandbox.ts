// What BullMQ runs in another process for each job.
import type { SandboxedJob } from "bullmq";
import { type JobData, processJob } from "./bullmq.ts";
import { connectRedis, type PeerOptions } from "./peer.ts";

const options = JSON.parse(process.env["HOLDFAST_BENCH_PEER"]!) as PeerOptions;
const redis = connectRedis(options);

export default (job: SandboxedJob<JobData>): Promise<void> => processJob(job, redis, options);
