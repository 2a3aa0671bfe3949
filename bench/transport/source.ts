/** Where a client of the bench receives, and how much. It returns when it had completed all, by `performance.now()`. */
export interface Source {
  readonly connectionString: string;
  readonly queue: string;
  readonly messages: number;
}
