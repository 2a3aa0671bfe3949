// Reading the frames that belong to a session and handing them to it. The objects for the three that make the traffic are
// read again for every frame.
import { descriptor } from "../codec/descriptors.ts";
import { ProtocolError } from "../codec/errors.ts";
import type { FieldReader } from "../codec/fields.ts";
import { readAttach, readDetach } from "../frame/performatives.ts";
import type { Session } from "./session.ts";
import { Disposition, Flow, Transfer } from "../frame/transfers.ts";

export class SessionFrames {
  readonly #transfer = new Transfer();
  readonly #flow = new Flow();
  readonly #disposition = new Disposition();

  /** Whether a performative is a session's, by its descriptor. */
  static includes(code: number): boolean {
    return code >= descriptor.attach && code <= descriptor.detach;
  }

  /** A frame that ends at `end`; a violation that concerns the session alone ends it. */
  handle(session: Session, code: number, bytes: Buffer, fields: FieldReader, end: number): void {
    try {
      this.#read(session, code, bytes, fields, end);
    } catch (error) {
      if (!(error instanceof ProtocolError) || error.scope !== "session") throw error;
      session.fail(error);
    }
  }

  #read(session: Session, code: number, bytes: Buffer, fields: FieldReader, end: number): void {
    switch (code) {
      case descriptor.transfer:
        this.#transfer.read(fields);
        session.onTransfer(this.#transfer, bytes, fields.end, end);
        return;
      case descriptor.disposition:
        this.#disposition.read(fields);
        session.onDisposition(this.#disposition, bytes);
        return;
      case descriptor.flow:
        this.#flow.read(fields);
        session.onFlow(this.#flow);
        return;
      case descriptor.attach:
        session.onAttach(readAttach(fields.copied()));
        return;
      default:
        session.onDetach(readDetach(fields.copied()));
    }
  }
}
