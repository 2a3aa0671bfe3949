import type { FastifyInstance } from "fastify";
import { HoldfastError, messageOf } from "../core/errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Resolves with the URL; `named` is what says where to listen. Rejects with what is in the way there, and what to do. */
export async function listenAt(server: FastifyInstance, { host, port }: Address, named: string): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const found = code === "EADDRINUSE" ? "somebody listening there, perhaps another worker" : messageOf(error, 200);
    throw new HoldfastError(
      "HOLDFAST_ADDRESS",
      `expected to listen at ${host}:${port}, found ${found}; name another address by ${named} (port 0 takes a free one), or stop what has this one`,
      { cause: error },
    );
  }
}
