/** A replay that is proposed: what it would do, and the call that would have it done, for a person or another agent to agree with. */
import type { ApiClient, Told } from "./api-client.ts";
import type { ApiTool, Tool } from "./tools.ts";

export const proposeReplay: Tool = {
  name: "proposeReplay",
  description:
    "Says what bringing a group of dead letters back would do, and the call of startReplay that would do it; changes nothing. Have it agreed to before it is carried out. Needs the role viewer.",
  inputSchema: {
    type: "object",
    properties: {
      group: { type: "string", minLength: 4, maxLength: 64, description: "Fingerprint of the letters, as listDeadLetters gives it." },
      source: { type: "string", minLength: 1, maxLength: 256, description: "Name of the source; may be left out where but one has such a group." },
    },
    required: ["group"],
  },
  annotations: { title: "Propose a replay", readOnlyHint: true, destructiveHint: false, openWorldHint: false },
};

interface Group {
  readonly fingerprint: string;
  readonly count: number;
  readonly example: { readonly source?: string };
}

export async function propose(
  client: ApiClient,
  tools: ReadonlyMap<string, ApiTool>,
  { group, source, ...rest }: Readonly<Record<string, unknown>>,
): Promise<Told> {
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined || typeof group !== "string")
    return { isRefused: true, body: { title: "It was not asked", detail: `expected 'group' and perhaps 'source', found ${unknown ?? "no group"}` } };
  const list = tools.get("listDeadLetters");
  if (list === undefined) throw new TypeError("expected openapi.json to describe listDeadLetters");
  const where = source === undefined ? {} : { source };
  const told = await client.call(list, where);
  if (told.isRefused) return told;
  const groups = told.body as readonly Group[];
  const found = groups.filter(({ fingerprint }) => fingerprint === group);
  const [first] = found;
  if (first === undefined) {
    const known = groups.map(({ fingerprint, count }) => `${fingerprint} (${count})`).join(", ") || "none";
    return { isRefused: true, body: { title: "There is no such group", detail: `expected a group of dead letters '${group}', found ${known}` } };
  }
  if (found.length > 1) {
    const places = found.map(({ example }) => example.source ?? "").join(", ");
    return { isRefused: true, body: { title: "Several sources have such a group", detail: `expected source to be one of ${places}, found none` } };
  }
  // A replay is of one source.
  const from = source ?? first.example.source;
  return {
    isRefused: false,
    body: {
      letters: first,
      plan: "One letter is sent back to its queue; when its run completes, ten more, then all others. It stops when one fails as before, and what is left stays where it is.",
      before: "Mend what they died of, or they die of it again.",
      call: {
        tool: "startReplay",
        arguments: { group, expected: first.count, ...(from === undefined ? {} : { source: from }), reason: "WHY IT IS RIGHT TO DO SO NOW" },
      },
      thereafter: "getReplay, by the id that startReplay answers with.",
    },
  };
}
