// Reads over HTTP on connections that are kept open, as fetch keeps them.

/** fetch has as many open to one place at most that one reader here uses side by side. */
const keptMax = 3;
const codesOfClosed: readonly string[] = ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"];

/**
 * Fetches; again where the connection was closed under the request. A server closes what has been idle for some seconds, and a process that was
 * stopped meanwhile, by Ctrl-Z say, sends on it before it has heard of that. For requests only that may arrive twice.
 */
export async function fetchAgain(url: string | URL, init: RequestInit = {}): Promise<Response> {
  for (let kept = keptMax; ; kept -= 1) {
    try {
      return await fetch(url, init);
    } catch (error) {
      if (kept === 0 || !wasClosed(error)) throw error;
    }
  }
}

function wasClosed(error: unknown): boolean {
  const { cause } = error as Error;
  return cause instanceof Error && "code" in cause && codesOfClosed.includes(String(cause.code));
}
