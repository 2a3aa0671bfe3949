// The rules of a subscription: which messages it gets, and what is changed in its copies.
//
// A message is copied once for all rules without an action that select it, and once more for each rule with an action. A
// subscription without rules gets nothing. Rules change while messages flow: each message meets the rules of its moment.
import type { PropertyField } from "../codec/message-fields.ts";
import type { Transfer } from "../entities/message.ts";
import { byName } from "../entities/name-order.ts";
import { applyAction } from "./actions.ts";
import { valueOf } from "./constants.ts";
import type { MessageView } from "./message-view.ts";
import type { Constant, Expression, Parameters, Statement } from "./sql-ast.ts";
import { compare, evaluate, FilterEvaluationError } from "./sql-evaluate.ts";
import { FilterSyntaxError } from "./sql-lexer.ts";
import { parseAction, parseCondition } from "./sql-parser.ts";

export type CorrelationField = PropertyField;

export interface SqlText {
  readonly expression: string;
  readonly parameters: Parameters;
}

export type FilterDescription =
  | ({ readonly kind: "sql" } & SqlText)
  | { readonly kind: "true" }
  | { readonly kind: "false" }
  | { readonly kind: "correlation"; readonly fields: ReadonlyMap<CorrelationField, string>; readonly properties: ReadonlyMap<string, Constant> };

export interface RuleDescription {
  readonly name: string;
  readonly filter: FilterDescription;
  readonly action: SqlText | undefined;
}

/** The rule that a subscription has from the start. */
export const defaultRule: RuleDescription = { name: "$Default", filter: { kind: "true" }, action: undefined };

/** Rules of one subscription at most. */
export const rulesMax = 2000;

export class Rule {
  readonly description: RuleDescription;
  readonly createdAtMs: number;
  /** Whether it selects every message, whatever is in it. */
  readonly isOpen: boolean;
  readonly #selects: (view: MessageView) => boolean;
  readonly action: readonly Statement[] | undefined;

  /** @throws FilterSyntaxError when the filter or the action is not written right */
  constructor(description: RuleDescription, createdAtMs: number) {
    this.description = description;
    this.createdAtMs = createdAtMs;
    this.#selects = compile(description.filter);
    this.action = description.action === undefined ? undefined : parseAction(description.action.expression, description.action.parameters);
    const { filter } = description;
    this.isOpen = filter.kind === "true" || (filter.kind === "sql" && /^\s*1\s*=\s*1\s*$/.test(filter.expression));
  }

  selects(view: MessageView): boolean {
    return this.isOpen || this.#selects(view);
  }
}

function compile(filter: FilterDescription): (view: MessageView) => boolean {
  switch (filter.kind) {
    case "true":
      return () => true;
    case "false":
      return () => false;
    case "sql": {
      const condition: Expression = parseCondition(filter.expression, filter.parameters);
      return (view) => evaluate(condition, view) === true;
    }
    case "correlation": {
      const { fields } = filter;
      const properties = new Map([...filter.properties].map(([name, constant]) => [name, valueOf(constant)]));
      if (fields.size === 0 && properties.size === 0) throw new FilterSyntaxError("expected a correlation filter to name at least one property, found none", 0);
      return (view) =>
        [...fields].every(([field, value]) => view.system(field) === value) &&
        [...properties].every(([name, value]) => compare("=", view.user(name), value) === true);
    }
  }
}

/** What a subscription gets of a message. `trouble` says why a filter or an action could not be computed. */
export interface Selection {
  readonly copies: readonly Transfer[];
  readonly trouble: string | undefined;
}

export class RuleSet {
  /** By name in lower case. */
  readonly #rules = new Map<string, Rule>();
  /** In the order of their names: it is the same after a restart. */
  #inOrder: readonly Rule[] = [];
  #isOpen = false;

  /** @throws FilterSyntaxError when one is not written right */
  constructor(descriptions: readonly RuleDescription[], nowMs: number) {
    for (const description of descriptions) this.#set(description, nowMs);
    this.#sort();
  }

  get size(): number {
    return this.#rules.size;
  }

  get(name: string): Rule | undefined {
    return this.#rules.get(name.toLowerCase());
  }

  /** In the order of their names. */
  all(): readonly Rule[] {
    return this.#inOrder;
  }

  /** Adds a rule, or takes the place of one with its name. */
  add(description: RuleDescription, nowMs: number): Rule {
    const rule = this.#set(description, nowMs);
    this.#sort();
    return rule;
  }

  remove(name: string): boolean {
    const removed = this.#rules.delete(name.toLowerCase());
    this.#sort();
    return removed;
  }

  select(transfer: Transfer, view: MessageView): Selection {
    if (this.#isOpen) return { copies: [transfer], trouble: undefined };
    const copies: Transfer[] = [];
    let plainCopy = false;
    try {
      for (const rule of this.#inOrder) {
        if (!rule.selects(view)) continue;
        if (rule.action === undefined) plainCopy = true;
        else copies.push({ ...transfer, content: applyAction(transfer.content, rule.action, view) });
      }
    } catch (error) {
      if (error instanceof FilterEvaluationError) return { copies: [], trouble: error.message };
      throw error;
    }
    return { copies: plainCopy ? [transfer, ...copies] : copies, trouble: undefined };
  }

  #set(description: RuleDescription, nowMs: number): Rule {
    const rule = new Rule(description, this.get(description.name)?.createdAtMs ?? nowMs);
    this.#rules.set(description.name.toLowerCase(), rule);
    return rule;
  }

  #sort(): void {
    const rules = byName(this.#rules.values(), ({ description }) => description.name);
    this.#inOrder = rules;
    this.#isOpen = rules.length > 0 && rules.every(({ action }) => action === undefined) && rules.some(({ isOpen }) => isOpen);
  }
}
