/**
 * With what a command ends. One table for all of them; the README has it, too. This file imports nothing: what hears signals
 * first of all needs it.
 */
export const exitCodes = {
  /** It did what it was asked; for `start`, it stopped in order. */
  good: 0,
  /** It looked and found something wrong, or it could not do what it was asked. */
  failed: 1,
  /** The arguments, the configuration, a plugin or the version of Node cannot be used: trying again brings the same. */
  usage: 2,
  /** A worker stopped in order by itself, for only a new process helps: it is to be restarted. */
  restart: 75,
  /** A second signal ended it at once. */
  forced: 130,
} as const;
