/** The session of a run, as its skill sees it. Its state is JSON text, so that anyone else who works the session can read it. */
import type { SkillSession } from "../author/context.ts";
import { PermanentError, TransientError } from "../author/errors.ts";
import { checkJson } from "./json-value.ts";
import { permanently } from "./run-errors.ts";

/** As much as every tier of Service Bus keeps. */
export const sessionStateBytesMax: number = 256 * 1024;

/** What a session needs of the run that is part of it. */
export interface SessionRun {
  readonly order: { readonly sessionId?: string | undefined };
  /** Name of the step that is open; undefined when none is. */
  readonly openStep: string | undefined;
  /** Throws when the run has ended or may not act any more. */
  checkMayAct(): void;
  /** Asks the worker for the state: null for none, undefined when it could not be read. */
  ask(about: "state"): Promise<Uint8Array | null | undefined>;
}

export class RunSession implements SkillSession {
  readonly id: string;
  readonly #run: SessionRun;
  #known: Promise<Uint8Array | null> | undefined;
  /** What the run leaves; undefined when that is what it found. */
  #left: Uint8Array | null | undefined;

  private constructor(id: string, run: SessionRun) {
    this.id = id;
    this.#run = run;
  }

  /** Undefined for a run of a message without a session. */
  static of(run: SessionRun): RunSession | undefined {
    const { sessionId } = run.order;
    return sessionId === undefined ? undefined : new RunSession(sessionId, run);
  }

  get left(): Uint8Array | null | undefined {
    return this.#left;
  }

  async getState<State>(): Promise<State | undefined> {
    this.#run.checkMayAct();
    const bytes = this.#left === undefined ? await (this.#known ??= this.#ask()) : this.#left;
    return bytes === null ? undefined : (this.#decode(bytes) as State);
  }

  setState(state: unknown): void {
    const { openStep } = this.#run;
    this.#run.checkMayAct();
    if (openStep !== undefined)
      throw new PermanentError(`session.setState: expected no step to be open, found '${openStep}'; set it behind the step, from its result`, {
        code: "SESSION_STATE_INVALID",
      });
    if (state === undefined || state === null) {
      this.#left = null;
      return;
    }
    permanently("SESSION_STATE_INVALID", () => checkJson("session.setState", state));
    const bytes = Buffer.from(JSON.stringify(state), "utf8");
    if (bytes.length > sessionStateBytesMax)
      throw new PermanentError(
        `session.setState: expected at most ${sessionStateBytesMax} bytes of JSON, got ${bytes.length}; keep what is large elsewhere, and its address here`,
        { code: "SESSION_STATE_TOO_LARGE" },
      );
    this.#left = bytes;
  }

  async #ask(): Promise<Uint8Array | null> {
    const state = await this.#run.ask("state");
    this.#run.checkMayAct();
    if (state !== undefined) return state;
    this.#known = undefined;
    throw new TransientError(`session.getState: expected the broker to give the state of session '${this.id}', it did not`, {
      code: "SESSION_STATE_UNAVAILABLE",
    });
  }

  #decode(bytes: Uint8Array): unknown {
    try {
      // What the official client leaves where a state was taken away.
      return JSON.parse(Buffer.from(bytes).toString("utf8")) ?? undefined;
    } catch {
      throw new PermanentError(
        `session.getState: expected the state of session '${this.id}' to be JSON, found ${bytes.length} other bytes; let what else writes it write JSON, or take it away`,
        { code: "SESSION_STATE_UNREADABLE" },
      );
    }
  }
}

/** What a run that is done leaves its session, where it leaves something. */
export function leftBy(session: RunSession | undefined): { readonly sessionState?: Uint8Array | null } {
  const left = session?.left;
  return left === undefined ? {} : { sessionState: left };
}
