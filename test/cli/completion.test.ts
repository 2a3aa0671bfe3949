// Shell completion, in the shells that are installed here.
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { runCommand } from "../support/holdfast-command.ts";

test("bash completes commands, commands below them, and options", async () => {
  const { stdout, code } = await runCommand(["completion", "bash"]);
  assert.equal(code, 0);
  const complete = (...words: readonly string[]): readonly string[] => {
    const script = `${stdout}\nCOMP_WORDS=(holdfast ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return spawnSync("bash", ["-c", script], { encoding: "utf8" }).stdout.trim().split("\n");
  };
  assert.deepEqual(complete("do"), ["doctor"]);
  assert.deepEqual(complete("dlq", "re"), ["replay"]);
  assert.deepEqual(complete("start", "--se"), ["--set"]);
  assert.deepEqual(complete("config", "-c", "file.yaml", "--sch"), ["--schema"]);
  assert.ok(complete("completion", "").length >= 1);
});

test("zsh and fish get scripts of the same commands, and another shell is refused", async () => {
  const [zsh, fish, other] = await Promise.all(["zsh", "fish", "tcsh"].map((shell) => runCommand(["completion", shell])));
  assert.match(zsh?.stdout ?? "", /^#compdef holdfast\n[^]*"dlq replay"\) found=\(/);
  assert.match(
    fish?.stdout ?? "",
    /complete -c holdfast -n '__fish_seen_subcommand_from config' -l schema -d 'print the configurations JSON Schema instead, for editors'/,
  );
  assert.deepEqual([other?.code, other?.stdout], [2, ""]);
});
