import type { SessionsSettings } from "../core/config/sessions.ts";
import { ConfigurationError } from "../core/errors.ts";
import type { SessionAccess } from "../ports/transport.ts";

export interface KindOptions {
  readonly consumer: string;
  readonly transport: Pick<SessionAccess, "requiresSessions">;
  readonly sessions?: SessionsSettings | undefined;
}

/**
 * An entity either requires sessions or has none, from its creation on: reading it in the other way would be refused for ever.
 * Rejects with `ConfigurationError`.
 */
export async function checkKind({ consumer, transport, sessions }: KindOptions): Promise<void> {
  const requires = await transport.requiresSessions();
  if (requires === undefined || requires === (sessions !== undefined)) return;
  throw new ConfigurationError(
    requires
      ? `expected sessions to be configured for ${consumer}, which requires them, found no key 'sessions'; add sessions: {} to it, or read an entity without sessions`
      : `expected ${consumer} to require sessions, as 'sessions' is configured for it, found that it has none; take the key away, or create it again with sessions required`,
  );
}
