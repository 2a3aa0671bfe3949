/** `holdfast completion`: a script that has a shell complete commands and options, made of what the program knows. */
import type { Command } from "commander";
import { writeResult } from "./output.ts";

export type Shell = "bash" | "zsh" | "fish";

interface Word {
  readonly word: string;
  readonly help: string;
}

interface Level {
  /** The commands that lead there, such as `dlq replay`; empty for the program itself. */
  readonly path: string;
  readonly commands: readonly Word[];
  readonly options: readonly Word[];
}

export function completion(program: Command, shell: Shell): void {
  const levels = levelsOf(program, []);
  writeResult({ bash: bashScript, zsh: zshScript, fish: fishScript }[shell](levels));
}

function levelsOf(command: Command, path: readonly string[]): readonly Level[] {
  const commands = command.commands.map((one) => ({ word: one.name(), help: firstSentence(one.description()) }));
  const options = command.options.flatMap(({ long, description }) => (long == null ? [] : [{ word: long, help: firstSentence(description) }]));
  const help = { word: "--help", help: "show what it takes" };
  return [{ path: path.join(" "), commands, options: [...options, help] }, ...command.commands.flatMap((one) => levelsOf(one, [...path, one.name()]))];
}

/** As much as a line has room for, without what shells would make something of. */
function firstSentence(text: string): string {
  return (text.split(/[:;(\n]/)[0] ?? "").replaceAll(/['"\\`$[\]]/g, "").trim();
}

function wordsOf({ commands, options }: Level): string {
  return [...commands, ...options].map(({ word }) => word).join(" ");
}

/** What stands before the cursor and names a command leads to its level; a file is completed where nothing else fits. */
function bashScript(levels: readonly Level[]): string {
  return `# holdfast completion bash > ~/.local/share/bash-completion/completions/holdfast
_holdfast() {
  local word path="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    case "$path $word" in
${levels.flatMap(({ path }) => (path === "" ? [] : [`      "${leadingOf(path)}") path="${path}" ;;`])).join("\n")}
    esac
  done
  case "$path" in
${levels.map((level) => `    "${level.path}") COMPREPLY=($(compgen -W "${wordsOf(level)}" -- "\${COMP_WORDS[COMP_CWORD]}")) ;;`).join("\n")}
  esac
}
complete -o default -F _holdfast holdfast
`;
}

/** How the path and its last word are compared: the path before, a space, the word. */
function leadingOf(path: string): string {
  return path.includes(" ") ? path : ` ${path}`;
}

function zshScript(levels: readonly Level[]): string {
  const described = ({ word, help }: Word): string => `'${word}:${help.replaceAll(":", " ")}'`;
  return `#compdef holdfast
# holdfast completion zsh > "\${fpath[1]}/_holdfast"
_holdfast() {
  local word at="" index
  local -a found
  for ((index = 2; index < CURRENT; index++)); do
    word="\${words[index]}"
    case "$at $word" in
${levels.flatMap(({ path }) => (path === "" ? [] : [`      "${leadingOf(path)}") at="${path}" ;;`])).join("\n")}
    esac
  done
  case "$at" in
${levels.map((level) => `    "${level.path}") found=(${[...level.commands, ...level.options].map(described).join(" ")}) ;;`).join("\n")}
  esac
  _describe 'holdfast' found || _files
}
if [[ "\${funcstack[1]}" == "_holdfast" ]]; then _holdfast "$@"; else compdef _holdfast holdfast; fi
`;
}

function fishScript(levels: readonly Level[]): string {
  const lines = levels.flatMap(({ path, commands, options }) => {
    const words = path === "" ? [] : path.split(" ");
    const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
    const none = commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.map(({ word }) => word).join(" ")}`];
    const condition = [...seen, ...none].join("; and ");
    const when = condition === "" ? "" : ` -n '${condition}'`;
    return [
      ...commands.map(({ word, help }) => `complete -c holdfast -f${when} -a ${word} -d '${help}'`),
      ...options.map(({ word, help }) => `complete -c holdfast${when} -l ${word.slice(2)} -d '${help}'`),
    ];
  });
  return `# holdfast completion fish > ~/.config/fish/completions/holdfast.fish\n${lines.join("\n")}\n`;
}
