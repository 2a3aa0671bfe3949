// The parts of rhea that the engine touches below its public surface. rhea keeps connections, sessions and links in order;
// transfers, dispositions and flows are ours (rhea-session.ts), because rhea's own take a tick, a ring of 2048 and several
// closures for each.

/** A value with its AMQP type. */
export interface RheaTyped {
  readonly value: unknown;
  readonly descriptor?: RheaTyped;
}

/** A performative: its fields in order, undefined or an AMQP null where they were not sent. */
export interface RheaFields {
  readonly value: readonly (RheaTyped | undefined)[];
}

export interface RheaFrame<P> {
  readonly channel: number;
  readonly performative: P;
  readonly payload?: Buffer;
}

export interface RheaTerminus {
  readonly address?: unknown;
  filter?: Readonly<Record<string, unknown>> | null;
  described(): unknown;
}

export interface RheaAttach extends RheaFields {
  readonly name: string;
  readonly handle: number;
  /** True when the peer receives. */
  readonly role: boolean;
  readonly snd_settle_mode?: number;
  readonly rcv_settle_mode?: number;
  readonly source?: RheaTerminus | null;
  readonly target?: RheaTerminus | null;
  readonly properties?: Readonly<Record<string, unknown>>;
}

export interface RheaLink {
  readonly name: string;
  readonly local: {
    readonly handle: number;
    readonly attach: {
      source?: unknown;
      target?: unknown;
      snd_settle_mode?: number;
      rcv_settle_mode?: number;
      max_message_size?: number;
      properties?: Record<string, unknown> | undefined;
    };
  };
  readonly remote: { attach?: RheaAttach };
  readonly state: { local_open: boolean; open_requests: number };
  open(): void;
  on_attach(frame: RheaFrame<RheaAttach>): void;
  on_detach(frame: RheaFrame<RheaFields>): void;
  on_flow(frame: RheaFrame<RheaFields>): void;
  _process(): void;
  close(error?: { condition: string; description: string }): void;
  remove(): void;
}

export interface RheaSession {
  readonly local: { readonly channel: number; readonly handles: Record<string, RheaLink> };
  readonly remote: { readonly handles: Record<string, RheaLink> };
  readonly links: Record<string, RheaLink>;
  outgoing: unknown;
  incoming: unknown;
  create_sender(name: string, options: object): RheaLink;
  create_receiver(name: string, options: object): RheaLink;
  on_attach(frame: RheaFrame<RheaAttach>): void;
  on_flow(frame: RheaFrame<RheaFields>): void;
  on_transfer(frame: RheaFrame<RheaFields>): void;
  on_disposition(frame: RheaFrame<RheaFields>): void;
  on_end(frame: RheaFrame<RheaFields>): void;
}

export interface RheaConnection {
  readonly remote: { readonly open?: { readonly container_id?: string } };
  readonly max_frame_size?: number;
  /** Bytes of the frame that is coming in, while it is not complete. */
  readonly frame_size?: number;
  create_session(bufferSize?: number): RheaSession;
  accept(socket: object): void;
  input(bytes: Buffer): void;
  eof(error?: Error): void;
  on_close(frame: RheaFrame<RheaFields>): void;
  close(error?: { condition: string; description: string }): void;
}

/** A field as a number; undefined when it was not sent. */
export function numberAt(fields: RheaFields, index: number): number | undefined {
  const value = fields.value[index]?.value;
  return typeof value === "number" ? value : undefined;
}

/** A boolean field; false when it was not sent. */
export function flagAt(fields: RheaFields, index: number): boolean {
  return Boolean(fields.value[index]?.value);
}
