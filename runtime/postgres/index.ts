/**
 * Steps whose effect is a change in your own PostgreSQL, exactly once.
 * @module holdfast/postgres
 */
import "../core/refuse-old-node.ts";
export { type DatabaseOptions, type StepDatabase, type TransactionSource, fromTransactions } from "./database.ts";
export { type Pool, type PoolClient, type PoolOptions, fromPool } from "./pool.ts";
export { migration } from "./table.ts";
