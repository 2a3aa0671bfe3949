// Secrets of Key Vault, by the vendor's client against a stand-in that speaks the REST API.
import { strict as assert } from "node:assert";
import { test } from "node:test";
import { readVaultSecret } from "#runtime/adapters/secrets/key-vault.ts";
import { readSecrets, SecretKeeper } from "#runtime/adapters/secrets/secret-keeper.ts";
import type { SecretChangedEvent } from "#runtime/core/catalogue.ts";
import { Secret } from "#runtime/core/secret.ts";
import { startAzureStandIn } from "../support/azure-stand-in.ts";
import { eventually } from "../support/eventually.ts";

test("a secret of Key Vault is read with the identity's token, and replaced when the vault has a new version; while the vault fails, the one before stays", async (t) => {
  const values = new Map([["bus", "first"]]);
  let isDown = false;
  const vault = await startAzureStandIn(t, (_request, { pathname, origin }) => {
    const [, , name = "", version = ""] = pathname.split("/");
    const value = values.get(name);
    if (isDown || value === undefined)
      return { status: isDown ? 403 : 404, body: { error: { code: isDown ? "Forbidden" : "SecretNotFound", message: `no ${name}` } } };
    return { body: { value: version === "" ? value : `${value} of ${version}`, id: `${origin}/secrets/${name}/${version}`, attributes: { enabled: true } } };
  });
  const client = { tlsOptions: { ca: vault.ca }, disableChallengeResourceVerification: true };
  const readVault = (identifier: string): Promise<string> => readVaultSecret(identifier, { credential: vault.credential, client });
  const secret = new Secret({ keyVault: `${vault.url}/secrets/bus` }, () => undefined);
  const surroundings = { directory: ".", readVault };
  const secrets = [{ key: "serviceBus.connectionString", secret }];
  await readSecrets(secrets, surroundings);
  assert.equal(secret.reveal(), "first");
  assert.equal(await readVault(`${vault.url}/secrets/bus/abc`), "first of abc");
  await assert.rejects(readVault(`${vault.url}/secrets/absent`), /expected Key Vault to give 'absent', found no absent/);

  const told: SecretChangedEvent[] = [];
  const keeper = new SecretKeeper({ ...surroundings, secrets, vaultEveryMs: 20, tell: (event) => told.push(event) });
  keeper.start();
  t.after(() => keeper.stop());
  values.set("bus", "second");
  await eventually("the new version", () => secret.reveal() === "second");
  isDown = true;
  await eventually("word of the refusal", () => told.length === 2);
  const asked = vault.requests.length;
  await eventually("two more looks", () => vault.requests.length >= asked + 2);
  assert.deepEqual([secret.reveal(), told.map(({ state }) => state)], ["second", ["replaced", "refused"]]);
  assert.ok(vault.requests.every((request) => /^GET \/secrets\/\w+/.test(request)));
});
