// A mail server: takes mail from one user, and keeps it.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { generate } from "selfsigned";
import { SMTPServer } from "smtp-server";

export interface MailServer {
  readonly port: number;
  /** Its own certificate, as PEM. */
  readonly ca: string;
  /** Whole messages. */
  readonly mails: string[];
  /** Replies to the next recipients; all are taken when it is empty. */
  readonly replies: number[];
}

export interface MailServerOptions {
  readonly security: "tls" | "starttls" | "none";
}

export const mailUser = { user: "holdfast", password: "let-me-in" };

export async function startMailServer(t: TestContext, { security }: MailServerOptions): Promise<MailServer> {
  const { private: key, cert } = await generate([{ name: "commonName", value: "localhost" }], {
    extensions: [{ name: "subjectAltName", altNames: [{ type: 2, value: "localhost" }] }],
  });
  const mails: string[] = [];
  const replies: number[] = [];
  const server = new SMTPServer({
    key,
    cert,
    secure: security === "tls",
    hideSTARTTLS: security !== "starttls",
    allowInsecureAuth: security === "none",
    onAuth({ username, password }, _session, answer) {
      if (username === mailUser.user && password === mailUser.password) answer(null, { user: username });
      else answer(Object.assign(new Error("no such user"), { responseCode: 535 }));
    },
    onRcptTo(_address, _session, answer) {
      const responseCode = replies.shift();
      answer(responseCode === undefined ? null : Object.assign(new Error("not now"), { responseCode }));
    },
    onData(stream, _session, answer) {
      text(stream).then(
        (mail) => {
          mails.push(mail);
          answer(null);
        },
        (error: unknown) => answer(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
  server.on("error", () => undefined);
  const listening = server.listen(0, "127.0.0.1");
  await once(listening, "listening");
  t.after(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return { port: (listening.address() as AddressInfo).port, ca: cert, mails, replies };
}
