// The stand-ins as a process of their own. Tells its parent where they listen, over IPC if there is a channel, else on
// standard output; stops on SIGTERM, SIGINT, or when the parent goes.
import { startStandIns } from "./stand-ins.ts";

const standIns = await startStandIns();
const ready = { type: "ready", urls: standIns.urls, controlUrl: standIns.controlUrl } as const;

function stop(): void {
  void standIns.stop().then(() => {
    if (process.connected) process.disconnect();
  });
}

process.once("SIGTERM", stop);
// A terminal's Ctrl-C reaches the whole group; a parent that drains first still needs its stand-ins and stops them itself.
process.on("SIGINT", () => {
  if (process.send === undefined) stop();
});
process.once("disconnect", stop);

if (process.send === undefined) process.stdout.write(`${JSON.stringify(ready)}\n`);
else process.send(ready);
