// Live settings in Azure App Configuration, by the vendor's client against a stand-in that speaks the REST API.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { watchAppConfiguration } from "#runtime/adapters/live/app-configuration.ts";
import { startAzureStandIn } from "../support/azure-stand-in.ts";
import { eventually } from "../support/eventually.ts";

test("one key is read, and then again when it has changed; trouble is reported once, and leaves what was read", async (t) => {
  let value: { readonly text: string; readonly etag: string } | undefined;
  let isDown = false;
  let unchanged = 0;
  const service = await startAzureStandIn(t, (request, { pathname, searchParams }) => {
    assert.deepEqual([pathname, searchParams.get("label")], ["/kv/holdfast", "pool"]);
    if (isDown) return { status: 403, body: { title: "Forbidden" } };
    if (value === undefined) return { status: 404 };
    if (request.headers["if-none-match"]?.includes(value.etag) === true) {
      unchanged += 1;
      return { status: 304 };
    }
    const body = { key: "holdfast", label: "pool", value: value.text, etag: value.etag, content_type: "application/json" };
    return { body, headers: { etag: `"${value.etag}"`, "content-type": "application/vnd.microsoft.appconfig.kv+json" } };
  });
  const offered: unknown[] = [];
  const refused: string[] = [];
  const source = watchAppConfiguration(
    { endpoint: service.url, key: "holdfast", label: "pool", everyMs: 20, credential: service.credential, client: { tlsOptions: { ca: service.ca } } },
    { offer: (document) => offered.push(document), refuse: (error) => refused.push(error) },
  );
  t.after(() => source.stop());
  source.start();
  await eventually("two looks at nothing", () => service.requests.length >= 2);
  value = { text: '{"logLevel":"debug"}', etag: "one" };
  await eventually("the document", () => offered.length === 1);
  await eventually("an answer that it has not changed", () => unchanged >= 2);
  assert.deepEqual([offered, refused], [[{ logLevel: "debug" }], []]);
  value = { text: "{ not JSON", etag: "two" };
  await eventually("the refusal", () => refused.length === 1);
  isDown = true;
  await eventually("another refusal", () => refused.length === 2);
  const asked = service.requests.length;
  await eventually("two more looks", () => service.requests.length >= asked + 2);
  isDown = false;
  value = { text: '{"isPaused":true}', etag: "three" };
  await eventually("the next document", () => offered.length === 2);
  assert.deepEqual([offered[1], refused.length], [{ isPaused: true }, 2]);
  assert.match(refused[0] ?? "", /expected the value of 'holdfast' to be JSON/);
});
