import { Target } from "./target.ts";

/** A store of documents, `PUT /documents/:id`: takes any body and says which revision it became. */
export function makeLibrary(): Target {
  return new Target({
    name: "library",
    method: "PUT",
    route: "/documents/:parameter",
    answer: ({ parameter, number }) => ({ status: 200, body: JSON.stringify({ id: parameter, revision: number + 1 }) }),
  });
}
