import { type Condition, type Priority, type Rule, rules } from "./rules.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** A task that an event asks for. */
export interface Task {
  readonly taskType: string;
  readonly priority: Priority;
  /** The rule that asked for it. */
  readonly rule: string;
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Every value at a path of field names from `at` on; `*` stands for any one field. */
function* valuesAt(value: unknown, path: readonly string[], at: number): Iterable<unknown> {
  if (Array.isArray(value)) {
    for (const element of value) yield* valuesAt(element, path, at);
    return;
  }
  const name = path[at];
  if (name === undefined) yield value;
  else if (isFields(value)) {
    if (name === "*") for (const field of Object.values(value)) yield* valuesAt(field, path, at + 1);
    else if (Object.hasOwn(value, name)) yield* valuesAt(value[name], path, at + 1);
  }
}

function holds(condition: Condition, event: Fields): boolean {
  for (const value of valuesAt(event, condition.path.split("."), 0)) {
    if (condition.oneOf.some((wanted) => wanted === value)) return true;
  }
  return false;
}

function matches(rule: Rule, name: string, event: Fields): boolean {
  if (!rule.events.includes(name)) return false;
  const action = event["action"];
  if (rule.actions !== undefined && (typeof action !== "string" || !rule.actions.includes(action))) return false;
  return rule.where?.every((condition) => holds(condition, event)) ?? true;
}

/** The tasks that a repository event asks for, in the order of the rules; none if no rule matches. */
export function classify(name: string, event: Fields, table: readonly Rule[] = rules): Task[] {
  return table.filter((rule) => matches(rule, name, event)).map(({ taskType, priority, name: rule }) => ({ taskType, priority, rule }));
}

/** What an event is about: the fields of these names, the first that is there. */
const subjectFields = ["pull_request", "issue", "discussion", "release", "workflow_run", "check_run", "deployment_status", "alert", "repository"];

export interface Subject {
  readonly kind: string;
  readonly title?: string;
  readonly number?: number;
  readonly url?: string;
}

function firstText(fields: Fields, names: readonly string[]): string | undefined {
  return names.map((name) => fields[name]).find((value) => typeof value === "string" && value !== "") as string | undefined;
}

/** The thing an event is about, for whoever does the task. */
export function subjectOf(event: Fields): Subject | undefined {
  const kind = subjectFields.find((field) => isFields(event[field]));
  if (kind === undefined) return undefined;
  const fields = event[kind] as Fields;
  const title = firstText(fields, ["title", "name", "full_name"]);
  const url = firstText(fields, ["html_url", "url"]);
  const number = fields["number"];
  return { kind, ...(title === undefined ? {} : { title }), ...(typeof number === "number" ? { number } : {}), ...(url === undefined ? {} : { url }) };
}
