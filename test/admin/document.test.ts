// The checks of the API are made when they are first asked for: that each can be made is seen here.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { documentText, routesOf } from "#runtime/admin/document.ts";
import { Problem } from "#runtime/admin/problem.ts";

test("each operation's path, query and body are checked as the document describes them", () => {
  const routes = routesOf(documentText);
  const refused = new Set<string>();
  for (const route of routes) {
    for (const check of [() => route.checkInputs({ stranger: "1" }, { stranger: "1" }), () => route.checkBody("a text")]) {
      try {
        check();
      } catch (error) {
        assert.ok(error instanceof Problem, `${route.operationId}: ${String(error)}`);
        refused.add(route.operationId);
      }
    }
  }
  assert.equal(refused.size, routes.length);
});
