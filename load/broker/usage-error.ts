/** The arguments of a broker command cannot be used as they are. */
export class BrokerUsageError extends Error {
  readonly code = "BrokerUsage";
}
