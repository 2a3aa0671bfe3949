// Reads SQL conditions and actions, by recursive descent:
//
//   or := and (OR and)* · and := not (AND not)* · not := NOT not | predicate
//   predicate := sum [ comparison sum | IS [NOT] NULL | [NOT] IN (…) | [NOT] LIKE sum [ESCAPE sum] ]
//   sum := product ((+|-) product)* · product := unary ((*|/|%) unary)* · unary := (+|-) unary | primary
//   primary := constant | property | EXISTS(property) | newid() | property(sum) | p(sum) | ( or )
//
//   statements := (SET property = sum | REMOVE property) [;|,] …
import { Double } from "../codec/encoded.ts";
import { valueOf } from "./constants.ts";
import type { Arithmetic, Comparison, Expression, Parameters, Property, Statement, Constant } from "./sql-ast.ts";
import { FilterSyntaxError, type Token, tokenize } from "./sql-lexer.ts";
import { settable, systemProperties } from "./system-properties.ts";

/** Nesting at most. */
const depthMax = 100;
/** Statements of one action at most. */
const statementsMax = 32;

const comparisons: ReadonlyMap<string, Comparison> = new Map<string, Comparison>([
  ["=", "="],
  ["<>", "<>"],
  ["!=", "<>"],
  ["<", "<"],
  ["<=", "<="],
  [">", ">"],
  [">=", ">="],
]);

const reserved: ReadonlySet<string> = new Set(["and", "or", "not", "is", "in", "like", "escape", "exists", "null", "true", "false", "set", "remove"]);
const noParameters: Parameters = new Map<string, Constant>();

/** @throws FilterSyntaxError with what was expected and where */
export function parseCondition(text: string, parameters: Parameters = noParameters): Expression {
  const parser = new Parser(text, parameters);
  const condition = parser.or();
  parser.end();
  if (!isCondition(condition)) throw new FilterSyntaxError("expected a condition, found a value", 0);
  return condition;
}

/** @throws FilterSyntaxError with what was expected and where */
export function parseAction(text: string, parameters: Parameters = noParameters): readonly Statement[] {
  return new Parser(text, parameters).statements();
}

function isCondition({ kind, ...rest }: Expression): boolean {
  if (kind === "constant") return typeof (rest as { value?: unknown }).value === "boolean";
  return kind !== "arithmetic" && kind !== "negate" && kind !== "newId";
}

class Parser {
  readonly #tokens: readonly Token[];
  readonly #parameters: Parameters;
  #at = 0;
  #depth = 0;

  constructor(text: string, parameters: Parameters) {
    this.#tokens = tokenize(text);
    this.#parameters = parameters;
  }

  statements(): readonly Statement[] {
    const statements: Statement[] = [];
    while (this.#token.kind !== "end") {
      statements.push(this.#statement());
      if (statements.length > statementsMax) throw this.#unexpected(`at most ${statementsMax} statements`);
      if (!this.#takeSymbol(";")) this.#takeSymbol(",");
    }
    if (statements.length === 0) throw this.#unexpected("SET or REMOVE");
    return statements;
  }

  or(): Expression {
    let left = this.#and();
    while (this.#takeWord("or")) left = { kind: "or", left, right: this.#and() };
    return left;
  }

  end(): void {
    if (this.#token.kind !== "end") throw this.#unexpected("the end, or an operator");
  }

  #statement(): Statement {
    if (this.#takeWord("remove")) return { kind: "remove", property: this.#assignable() };
    if (!this.#takeWord("set")) throw this.#unexpected("SET or REMOVE");
    const property = this.#assignable();
    this.#expectSymbol("=");
    return { kind: "set", property, value: this.#sum() };
  }

  #assignable(): Property {
    const { position } = this.#token;
    const property = this.#property();
    const system = property.scope === "sys" ? systemProperties.get(property.name.toLowerCase()) : undefined;
    if (system !== undefined && !settable.has(system))
      throw new FilterSyntaxError(`expected a property that can be changed, found sys.${property.name}`, position);
    return property;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#takeWord("and")) left = { kind: "and", left, right: this.#not() };
    return left;
  }

  #not(): Expression {
    this.#enter();
    const expression: Expression = this.#takeWord("not") ? { kind: "not", of: this.#not() } : this.#predicate();
    this.#depth--;
    return expression;
  }

  #predicate(): Expression {
    const left = this.#sum();
    const comparison = this.#token.kind === "symbol" ? comparisons.get(this.#token.text) : undefined;
    if (comparison !== undefined) {
      this.#at++;
      return { kind: "compare", operator: comparison, left, right: this.#sum() };
    }
    if (this.#takeWord("is")) {
      const negated = this.#takeWord("not");
      if (!this.#takeWord("null")) throw this.#unexpected("NULL");
      return { kind: "isNull", of: left, negated };
    }
    const negated = this.#takeWord("not");
    if (this.#takeWord("in")) return { kind: "in", of: left, items: this.#items(), negated };
    if (this.#takeWord("like"))
      return {
        kind: "like",
        of: left,
        pattern: this.#text("a pattern in quotes", Infinity),
        escape: this.#takeWord("escape") ? this.#text("one character in quotes", 1) : undefined,
        negated,
      };
    if (negated) throw this.#unexpected("IN or LIKE");
    return left;
  }

  /** An expression that yields text: where it is a constant, that is seen here. */
  #text(expected: string, lengthMax: number): Expression {
    const at = this.#at;
    const expression = this.#sum();
    const { value } = expression.kind === "constant" ? expression : {};
    if (value === undefined || (typeof value === "string" && (value.length === lengthMax || lengthMax === Infinity))) return expression;
    this.#at = at;
    throw this.#unexpected(expected);
  }

  #items(): Expression[] {
    this.#expectSymbol("(");
    const items = [this.#sum()];
    while (this.#takeSymbol(",")) items.push(this.#sum());
    this.#expectSymbol(")");
    return items;
  }

  #sum(): Expression {
    let left = this.#product();
    for (let operator = this.#takeOperator("+-"); operator !== undefined; operator = this.#takeOperator("+-"))
      left = { kind: "arithmetic", operator, left, right: this.#product() };
    return left;
  }

  #product(): Expression {
    let left = this.#unary();
    for (let operator = this.#takeOperator("*/%"); operator !== undefined; operator = this.#takeOperator("*/%"))
      left = { kind: "arithmetic", operator, left, right: this.#unary() };
    return left;
  }

  #unary(): Expression {
    this.#enter();
    let expression: Expression;
    if (this.#takeSymbol("-"))
      expression = this.#token.kind === "integer" ? { kind: "constant", value: this.#integer(-1n) } : { kind: "negate", of: this.#unary() };
    else if (this.#takeSymbol("+")) expression = this.#unary();
    else expression = this.#primary();
    this.#depth--;
    return expression;
  }

  #primary(): Expression {
    const token = this.#token;
    switch (token.kind) {
      case "string":
        this.#at++;
        return { kind: "constant", value: token.text };
      case "integer":
        return { kind: "constant", value: this.#integer(1n) };
      case "decimal":
        this.#at++;
        return { kind: "constant", value: new Double(Number(token.text)) };
      case "parameter":
        this.#at++;
        if (!this.#parameters.has(token.text)) throw new FilterSyntaxError(`expected the value of the parameter @${token.text}, found none`, token.position);
        return { kind: "constant", value: valueOf(this.#parameters.get(token.text)) };
      default:
        return this.#word();
    }
  }

  /** Whole numbers have 64 bits. */
  #integer(sign: 1n | -1n): number | bigint {
    const value = sign * BigInt(this.#token.text);
    if (BigInt.asIntN(64, value) !== value) throw this.#unexpected("a whole number of 64 bits");
    this.#at++;
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  #word(): Expression {
    if (this.#takeSymbol("(")) {
      const inner = this.or();
      this.#expectSymbol(")");
      return inner;
    }
    if (this.#takeWord("true")) return { kind: "constant", value: true };
    if (this.#takeWord("false")) return { kind: "constant", value: false };
    if (this.#takeWord("null")) return { kind: "constant", value: undefined };
    const isCall = this.#tokens[this.#at + 1]?.text === "(" && this.#tokens[this.#at + 1]?.kind === "symbol";
    if (isCall && this.#takeWord("exists")) return { kind: "exists", property: this.#inParentheses(() => this.#property()) };
    if (isCall && this.#takeWord("newid")) {
      this.#expectSymbol("(");
      this.#expectSymbol(")");
      return { kind: "newId" };
    }
    if (isCall && (this.#takeWord("property") || this.#takeWord("p"))) return { kind: "propertyOf", name: this.#inParentheses(() => this.#sum()) };
    return this.#property();
  }

  #inParentheses<T>(read: () => T): T {
    this.#expectSymbol("(");
    const inner = read();
    this.#expectSymbol(")");
    return inner;
  }

  #property(): Property {
    const first = this.#name();
    if (first.kind === "quoted" || !this.#takeSymbol(".")) return { kind: "property", scope: "user", name: first.text };
    const scope = first.text.toLowerCase();
    const name = this.#name();
    if (scope === "user") return { kind: "property", scope, name: name.text };
    if (scope !== "sys") throw new FilterSyntaxError(`expected the scope sys or user, found '${first.text}'`, first.position);
    if (!systemProperties.has(name.text.toLowerCase())) throw new FilterSyntaxError(`expected a system property, found 'sys.${name.text}'`, name.position);
    return { kind: "property", scope, name: name.text };
  }

  #name(): Token {
    const token = this.#token;
    const isName = token.kind === "quoted" || (token.kind === "name" && !reserved.has(token.text.toLowerCase()));
    if (!isName) throw this.#unexpected("a property, a constant or a condition");
    return this.#next();
  }

  get #token(): Token {
    return this.#tokens[this.#at] ?? { kind: "end", text: "", position: 0 };
  }

  #next(): Token {
    const token = this.#token;
    this.#at++;
    return token;
  }

  #takeWord(word: string): boolean {
    const { kind, text } = this.#token;
    if (kind !== "name" || text.toLowerCase() !== word) return false;
    this.#at++;
    return true;
  }

  #takeSymbol(symbol: string): boolean {
    const { kind, text } = this.#token;
    if (kind !== "symbol" || text !== symbol) return false;
    this.#at++;
    return true;
  }

  #takeOperator(operators: string): Arithmetic | undefined {
    const { kind, text } = this.#token;
    if (kind !== "symbol" || !operators.includes(text)) return undefined;
    this.#at++;
    return text as Arithmetic;
  }

  #expectSymbol(symbol: string): void {
    if (!this.#takeSymbol(symbol)) throw this.#unexpected(`'${symbol}'`);
  }

  #enter(): void {
    if (++this.#depth > depthMax) throw this.#unexpected(`at most ${depthMax} levels of nesting`);
  }

  #unexpected(expected: string): FilterSyntaxError {
    const { kind, text, position } = this.#token;
    return new FilterSyntaxError(`expected ${expected}, found ${kind === "end" ? "the end" : `'${text}'`}`, position);
  }
}
