// Who shows a token of the issuer's may do what its roles say; every other token is refused, however it is made.
import { strict as assert } from "node:assert";
import { after, before, test } from "node:test";
import { generateKeyPair, importJWK, type JWTPayload, SignJWT } from "jose";
import { parseConfig } from "#runtime/core/config.ts";
import { type AdminWorld, type Reply, startAdmin } from "../support/admin-world.ts";
import { startTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

const audience = "https://holdfast.example.com";
let issuer: TokenIssuer;
let admin: AdminWorld;

before(async () => {
  issuer = await startTokenIssuer();
  admin = await startAdmin({ auth: { issuer: issuer.issuer, audience }, changesPerMinute: 1_000 });
});
after(async () => {
  await admin.stop();
  await issuer.stop();
});

function bearing(token: string, method: string, path: string, body?: object): Promise<Reply> {
  return admin.call(method, path, { ...(body === undefined ? {} : { body }), headers: { authorization: `Bearer ${token}` } });
}

function kindOf({ json }: Reply): unknown {
  return (json as { readonly type?: string } | undefined)?.type?.replace("urn:holdfast:problem:", "");
}

const claims: JWTPayload = { sub: "operators", roles: ["holdfast.admin"], aud: audience };

async function signed(change: (token: SignJWT) => SignJWT, overrides: object = {}): Promise<string> {
  const key = await importJWK(issuer.privateKey, "RS256");
  return change(new SignJWT({ ...claims, iss: issuer.issuer, ...overrides }).setProtectedHeader({ alg: "RS256", kid: "key-1" }).setIssuedAt()).sign(key);
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

test("a viewer looks, an operator steers, an admin changes settings and drains; none of them more", async () => {
  const viewer = await issuer.token(["holdfast.viewer"], audience);
  const operator = await issuer.token(["holdfast.operator", "others"], audience);
  const full = await issuer.token(["holdfast.admin"], audience);
  const open = { state: "open", reason: "a test" };
  const setting = async (token = ""): Promise<number> => {
    const etag = (await bearing(token, "GET", "/api/v1/retry-budget/settings")).headers.get("etag") ?? "";
    const headers = { authorization: `Bearer ${token}`, "if-match": etag };
    return (await admin.call("PATCH", "/api/v1/retry-budget/settings", { body: { ratio: 0.3, reason: "a test" }, headers })).status;
  };
  const may = async (token = ""): Promise<readonly number[]> => [
    (await bearing(token, "GET", "/api/v1/worker")).status,
    (await bearing(token, "PUT", "/api/v1/circuits/api", open)).status,
    await setting(token),
  ];
  assert.deepEqual(await may(viewer), [200, 403, 403]);
  assert.deepEqual(await may(operator), [200, 200, 403]);
  assert.deepEqual(await may(full), [200, 200, 200]);
  assert.deepEqual(
    admin.audit.filter(({ operation }) => operation === "setCircuit").map(({ who, role, result }) => [who.split(" ")[0], role, result]),
    [
      ["operators", "viewer", "forbidden"],
      ["operators", "operator", "done"],
      ["operators", "admin", "done"],
    ],
  );
});

test("a token without a role of this worker, for another audience or of no role at all is refused", async () => {
  assert.equal(kindOf(await bearing(await issuer.token(["somebody.else"], audience), "GET", "/api/v1/worker")), "forbidden");
  assert.equal(kindOf(await bearing(await issuer.token([], audience), "GET", "/api/v1/worker")), "forbidden");
  assert.equal(kindOf(await bearing(await issuer.token(["holdfast.admin"], "https://another.example.com"), "GET", "/api/v1/worker")), "bad-token");
});

test("without a token there are the probes, the document and the page, and nothing else", async () => {
  for (const path of ["/livez", "/readyz", "/startupz", "/api/v1/openapi.json"]) assert.equal((await admin.call("GET", path)).status, 200, path);
  for (const path of ["/metrics", "/api/v1/worker", "/api/v1/audit", "/api/v1/dead-letters"]) {
    const reply = await admin.call("GET", path);
    assert.equal(kindOf(reply), "no-token", path);
    assert.equal(reply.headers.get("www-authenticate"), "Bearer");
  }
  const known = admin.audit.length;
  assert.equal(kindOf(await admin.call("POST", "/api/v1/pause", { body: { reason: "a test" } })), "no-token");
  assert.equal(admin.process.worker.view().isPaused, false);
  assert.equal(admin.audit.length, known);
});

test("tokens that are expired, not yet valid, endless, foreign, unsigned, of alg none, or signed with the public key are refused", async () => {
  const good = await signed((token) => token.setExpirationTime("5m"));
  assert.equal((await bearing(good, "GET", "/api/v1/worker")).status, 200);
  const [head = "", payload = ""] = good.split(".");
  const { privateKey: foreignKey } = await generateKeyPair("RS256");
  const publicText = new TextEncoder().encode(JSON.stringify(issuer.publicKey));
  const unsafe: Readonly<Record<string, string>> = {
    expired: await signed((token) => token.setIssuedAt("-2h").setExpirationTime("-1h")),
    "not yet valid": await signed((token) => token.setNotBefore("1h").setExpirationTime("2h")),
    endless: await signed((token) => token),
    "without a subject": await signed((token) => token.setExpirationTime("5m"), { sub: undefined }),
    "of another issuer": await signed((token) => token.setExpirationTime("5m"), { iss: "http://127.0.0.1:1" }),
    foreign: await new SignJWT({ ...claims, iss: issuer.issuer }).setProtectedHeader({ alg: "RS256", kid: "key-1" }).setExpirationTime("5m").sign(foreignKey),
    "of an unknown key": await new SignJWT({ ...claims, iss: issuer.issuer })
      .setProtectedHeader({ alg: "RS256", kid: "key-2" })
      .setExpirationTime("5m")
      .sign(foreignKey),
    unsigned: `${head}.${payload}.`,
    "alg none": `${part({ alg: "none" })}.${payload}.`,
    "alg none with the old signature": `${part({ alg: "none" })}.${payload}.${good.split(".")[2]}`,
    "signed with the public key as a secret": await new SignJWT({ ...claims, iss: issuer.issuer })
      .setProtectedHeader({ alg: "HS256", kid: "key-1" })
      .setExpirationTime("5m")
      .sign(publicText),
    "with a changed payload": `${head}.${part({ ...claims, iss: issuer.issuer, exp: 9_999_999_999, sub: "another" })}.${good.split(".")[2]}`,
  };
  for (const [name, token] of Object.entries(unsafe)) {
    const reply = await bearing(token, "GET", "/api/v1/worker");
    assert.equal(reply.status, 401, `${name}: ${reply.text}`);
    assert.match(reply.headers.get("www-authenticate") ?? "", /^Bearer/, name);
  }
});

test("a token that keeps being wrong is not looked at for a while, and nobody else behind the same proxy is hindered by it", async () => {
  const one = await startAdmin({ auth: { issuer: issuer.issuer, audience } });
  const ask = async (token: string): Promise<number> => (await one.call("GET", "/api/v1/worker", { headers: { authorization: `Bearer ${token}` } })).status;
  const ended = await signed((token) => token.setIssuedAt("-2h").setExpirationTime("-1h"));
  const good = await signed((token) => token.setExpirationTime("5m"));
  const fresh = await signed((token) => token.setExpirationTime("6m"));
  try {
    let tries = 0;
    while ((await ask(ended)) === 401 && tries < 100) tries += 1;
    assert.equal(tries, 30);
    assert.deepEqual([await ask(good), await ask(`${part({ alg: "none" })}.${part(claims)}.`)], [200, 401]);
    // Ever other ones: the address is not listened to any more, but for tokens that were good.
    let status = 401;
    for (let number = 0; status === 401 && number < 1_000; number += 1) status = await ask(`${part({ alg: "none" })}.${part({ ...claims, number })}.`);
    assert.deepEqual([status, await ask(fresh), await ask(good), await ask(ended)], [429, 429, 200, 429]);
  } finally {
    await one.stop();
  }
});

test("while the issuer's keys cannot be had, nobody is let in, and is told that it is not the token", async () => {
  const one = await startAdmin({ auth: { issuer: "http://127.0.0.1:1", audience } });
  try {
    const token = await signed((each) => each.setExpirationTime("5m"));
    const reply = await one.call("GET", "/api/v1/worker", { headers: { authorization: `Bearer ${token}` } });
    assert.deepEqual([reply.status, kindOf(reply)], [503, "unavailable"]);
  } finally {
    await one.stop();
  }
});

test("a configuration that would listen beyond this machine without tokens is refused", () => {
  const config = (settings: object): object => ({
    sources: [{ queue: "q" }],
    serviceBus: { fullyQualifiedNamespace: "n.servicebus.windows.net" },
    plugins: ["./p"],
    admin: settings,
  });
  for (const host of ["0.0.0.0", "::", "10.0.0.4", "holdfast.example.com"])
    assert.throws(() => parseConfig(config({ host }), "a test"), /admin\.host: expected an address of loopback, such as 127\.0\.0\.1, or `auth` beside it/);
  for (const host of ["127.0.0.1", "::1", "localhost", "127.1.2.3"]) assert.equal(parseConfig(config({ host }), "a test").admin?.host, host);
  const auth = { issuer: "https://login.example.com", audience };
  assert.equal(parseConfig(config({ host: "0.0.0.0", auth }), "a test").admin?.host, "0.0.0.0");
  assert.throws(() => parseConfig(config({ auth: { ...auth, issuer: "http://login.example.com" } }), "a test"), /issuer: expected https/);
});
