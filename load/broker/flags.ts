// What the broker's command line says, and what the command says back.

export interface BrokerFlags {
  readonly port: string;
  readonly host: string;
  readonly controlPort?: string;
  readonly queue?: readonly string[];
  /** `topic/subscription`, or a topic alone. */
  readonly topic?: readonly string[];
  readonly config?: string;
  readonly entities?: string;
  readonly record?: boolean;
  readonly strict?: boolean;
  readonly relaxed?: boolean;
  readonly key?: readonly string[];
  readonly keys?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly data?: string;
  readonly sync?: boolean;
  readonly repair?: boolean;
}

/** Has who runs the command call `stop` when the process is asked to stop, once at most; `say` writes to where the user looks. */
export type TakeOver = (stoppable: { stop(reason: string): void; say(text: string): void }) => void;

/** What a parent process gets once the broker listens. */
export interface BrokerReady {
  readonly type: "ready";
  readonly port: number;
  readonly controlPort: number;
  readonly connectionString: string;
}
