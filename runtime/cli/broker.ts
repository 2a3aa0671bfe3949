/** `holdfast broker`: the local Service Bus lives in load/; it is loaded only when asked for. */
import type { Command } from "commander";
import { takeOver } from "./stop-signals.ts";

export async function addBrokerCommand(program: Command): Promise<void> {
  const { registerBrokerCommand } = await import("#load/broker/command.ts");
  registerBrokerCommand(program, takeOver);
}
