// HTTP on the broker's port: the administration API, and the broker's own control endpoint beside it. A request of the former
// always carries an `api-version`, which is what tells them apart.
import type { RequestListener, Server } from "node:http";
import type { AdministrationContext } from "./administration/call.ts";
import type * as Serving from "./administration/http.ts";

// An import would evaluate everything that this module offers, an HTTP client and WebSockets included: a tenth of the start.
const { createServer } = process.getBuiltinModule("node:http");

/** What reads and writes Atom is loaded when the first client wants it: most never do. */
export function createHttpServer(administration: AdministrationContext, control: RequestListener): Server {
  let loading: Promise<typeof Serving> | undefined;
  return createServer((request, response) => {
    if (!/[?&]api-version=/.test(request.url ?? "")) return control(request, response);
    // Without keys a page that a browser has from elsewhere could change entities here; no client of this API says where it is from.
    if (request.headers.origin !== undefined && !administration.verifier.isRequired) {
      response.writeHead(403).end();
      return;
    }
    void (loading ??= import("./administration/http.ts")).then(
      ({ serveAdministration }) => serveAdministration(administration, request, response),
      (error: unknown) => response.destroy(error instanceof Error ? error : undefined),
    );
  });
}
