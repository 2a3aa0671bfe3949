/**
 * Asks a thread what it is at while it lets nothing else in: an endless loop, or a wait on shared memory. V8's inspector reaches it in
 * the middle of its code, and answers from there: the async context is then that of the very code at work, so it says which run holds
 * the thread also long after that run's first `await`; and all this costs a thread that is never asked nothing. Only a call
 * of native code keeps it from answering, until it returns.
 */
import type { InspectorNotification, NodeWorker, Session } from "node:inspector";
import type { AtWork } from "../../skills/host/skill-host.ts";

const question = "holdfast.at-work";
const expression = `globalThis[Symbol.for(${JSON.stringify(question)})]?.()`;
/** Frames that are looked through for one of the plugin's own code. */
const stackFrames = 60;

/** In a thread: `answer` is what it says when it is asked. */
export function answerWhenAsked(answer: () => AtWork): void {
  const respond = (): string => {
    const usual = Error.stackTraceLimit;
    Error.stackTraceLimit = stackFrames;
    try {
      return JSON.stringify(answer());
    } finally {
      Error.stackTraceLimit = usual;
    }
  };
  Object.defineProperty(globalThis, Symbol.for(question), { value: respond });
}

/** On the main thread. Resolves with undefined when there is no answer within `waitMs`; never rejects. */
export async function askThread(threadId: number, waitMs: number): Promise<AtWork | undefined> {
  try {
    const inspector = await import("node:inspector");
    const session = new inspector.Session();
    session.connect();
    try {
      return await ask(session, threadId, waitMs);
    } finally {
      session.post("NodeWorker.disable");
      session.disconnect();
    }
  } catch {
    // A Node that was built without an inspector, or may not use it.
    return undefined;
  }
}

function ask(session: Session, threadId: number, waitMs: number): Promise<AtWork | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), waitMs);
    session.on("NodeWorker.attachedToWorker", ({ params }: InspectorNotification<NodeWorker.AttachedToWorkerEventDataType>) => {
      if (!params.workerInfo.title.startsWith(`[worker ${threadId}]`)) return;
      const message = JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression, returnByValue: true } });
      session.post("NodeWorker.sendMessageToWorker", { sessionId: params.sessionId, message });
    });
    session.on("NodeWorker.receivedMessageFromWorker", ({ params }: InspectorNotification<NodeWorker.ReceivedMessageFromWorkerEventDataType>) => {
      clearTimeout(timer);
      resolve(readAnswer(params.message));
    });
    session.post("NodeWorker.enable", { waitForDebuggerOnStart: false });
  });
}

function readAnswer(message: string): AtWork | undefined {
  const { result } = JSON.parse(message) as { readonly result?: { readonly result?: { readonly value?: unknown } } };
  const value = result?.result?.value;
  return typeof value === "string" ? (JSON.parse(value) as AtWork) : undefined;
}
