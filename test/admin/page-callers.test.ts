// Who looks at the live page sees what is his, and is offered what he may do: by tenant, and by role.
import { strict as assert } from "node:assert";
import type { TestContext } from "node:test";
import type { Page } from "playwright-core";
import { barriersOf, hasBrowser, type PageScene, startPageScene } from "../support/admin-page.ts";
import { eventually } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";
import { startTokenIssuer, type TokenIssuer } from "../support/token-issuer.ts";

const audience = "https://holdfast.example.com";

async function startWithTokens(t: TestContext): Promise<{ readonly scene: PageScene; readonly issuer: TokenIssuer }> {
  const issuer = await startTokenIssuer();
  t.after(() => issuer.stop());
  return { issuer, scene: await startPageScene(t, { auth: { issuer: issuer.issuer, audience, tenantsClaim: "tenants" } }) };
}

async function buttonsOf(page: Page): Promise<readonly string[]> {
  const names = await page.getByRole("button").evaluateAll((buttons) => buttons.map((button) => button.getAttribute("aria-label") ?? button.textContent ?? ""));
  return names.filter((name) => !name.startsWith("Explain"));
}

async function asked(url: string, token: string, path: string): Promise<unknown> {
  return (await fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${token}` } })).json();
}

async function stateOf(url: string, token: string, eventId: string): Promise<unknown> {
  return ((await asked(url, token, `runs/${eventId}`)) as { readonly state?: unknown }).state;
}

/** The first answer to a page without a token is a refusal, which browsers complain of. */
const isOwnFault = (complaint: string): boolean => !/status of 40[14]/.test(complaint);

if (hasBrowser) {
  longTest("a tenant's operator sees his events alone, replays and cancels them, and is offered nothing of the worker's", async (t) => {
    const { scene, issuer } = await startWithTokens(t);
    const { bench, hang, refuse, open, shoot, url } = scene;
    const [own, all] = await Promise.all([issuer.tokenFor("anna", "operator", ["acme"], audience), issuer.tokenFor("olaf", "admin", ["*"], audience)]);
    refuse(true);
    for (const tenant of ["acme", "zoo"]) await bench.send(`refused-${tenant}`, { of: tenant }, "Tried", tenant);
    const bothAre = async (stem: string, state: string): Promise<boolean> =>
      (await stateOf(url, all, `${stem}-acme`)) === state && (await stateOf(url, all, `${stem}-zoo`)) === state;
    await eventually("both to be given up", () => bothAre("refused", "dead"), 30_000);
    refuse(false);

    const { page, complaints } = await open({ token: own, heading: "Dead letters" });
    await page.getByText("anna, for acme").waitFor();
    const group = page.getByRole("row").filter({ hasText: "CARD_REFUSED" });
    await group.getByRole("cell", { name: "1", exact: true }).waitFor();
    hang(true);
    for (const tenant of ["zoo", "acme"]) await bench.send(`hung-${tenant}`, { of: tenant }, "Tried", tenant);
    await page.getByRole("button", { name: "Explain hung-acme" }).waitFor();
    await page.getByText("reserve ✓").waitFor();
    assert.equal((await page.content()).includes("zoo"), false);
    const [replay = ""] = (await buttonsOf(page)).filter((name) => name.startsWith("Replay group"));
    assert.deepEqual(await buttonsOf(page), [replay]);
    for (const heading of ["What is wrong", "Dependencies", "Probes"]) assert.equal(await page.getByRole("heading", { name: heading }).count(), 0, heading);
    await shoot(page, "tenant");
    assert.deepEqual(await barriersOf(page), []);

    // Another's event is not there, whatever he types.
    const explain = async (eventId: string): Promise<void> => {
      await page.getByLabel("Event id").fill(eventId);
      await page.getByRole("button", { name: "Explain", exact: true }).click();
    };
    await explain("refused-zoo");
    await page
      .getByRole("alert")
      .getByText(/expected a record of event 'refused-zoo', found none/)
      .waitFor();
    assert.equal(await page.locator("ol.story").count(), 0);
    await shoot(page, "tenant-anothers-event");

    await explain("hung-acme");
    await page.getByRole("button", { name: "Cancel run …" }).click();
    await page.getByRole("dialog").getByLabel("Why").fill("it was a mistake");
    await shoot(page, "tenant-cancel");
    await page.getByRole("dialog").getByRole("button", { name: "Cancel run" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    const [entry] = (await asked(url, all, "audit")) as readonly Readonly<Record<string, unknown>>[];
    assert.deepEqual(
      ["who", "operation", "target", "reason", "result"].map((key) => entry?.[key]),
      ["anna", "cancelRun", "hung-acme", "it was a mistake", "done"],
    );
    hang(false);
    await eventually("another's to be done", async () => (await stateOf(url, all, "hung-zoo")) === "done", 30_000);

    await group.getByRole("button", { name: /Replay group/ }).click();
    await page.getByRole("dialog").getByLabel("Why").fill("the cards are good now");
    await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
    await page.getByText(/done, 1 of 1 replayed, 1 completed, 0 failed/).waitFor();
    await shoot(page, "tenant-replayed");
    assert.equal(await stateOf(url, all, "refused-zoo"), "dead");
    assert.equal((await page.content()).includes("hung-zoo"), false);
    assert.deepEqual(complaints.filter(isOwnFault), []);
  });

  longTest("who may only look is offered nothing that changes, and the page says why; an operator for all tenants has every lever", async (t) => {
    const { scene, issuer } = await startWithTokens(t);
    const { bench, refuse, open, shoot, url } = scene;
    const all = await issuer.tokenFor("olaf", "operator", ["*"], audience);
    refuse(true);
    await bench.send("refused-acme", {}, "Tried", "acme");
    await eventually("it to be given up", async () => (await stateOf(url, all, "refused-acme")) === "dead", 30_000);
    const why = "you may look, and change nothing: your role is viewer";
    for (const [tenants, heading] of [
      [["acme"], "Dead letters"],
      [["*"], "What is wrong"],
    ] as const) {
      const { page, complaints } = await open({ token: await issuer.tokenFor("vera", "viewer", tenants, audience), heading });
      await page.getByText(why).waitFor();
      await page.getByRole("button", { name: "Explain refused-acme" }).click();
      await page.locator("ol.story").waitFor();
      assert.deepEqual(await buttonsOf(page), []);
      assert.deepEqual(await barriersOf(page), []);
      assert.deepEqual(complaints.filter(isOwnFault), []);
      await shoot(page, `viewer-of-${tenants[0] === "*" ? "all" : tenants[0]}`);
      await page.context().close();
    }
    const { page } = await open({ token: all });
    await page.getByRole("button", { name: "Explain refused-acme" }).click();
    await page.getByRole("button", { name: "Resume run …" }).waitFor();
    const levers = (await buttonsOf(page)).map((name) => name.replace(/(?<=Replay group ).*/, "…"));
    assert.deepEqual(levers, ["Pause …", "Open the circuit of bank", "Replay group …", "Resume run …", "Probe input"]);
    assert.equal(await page.getByText(why).count(), 0);
    await shoot(page, "operator-of-all");
  });
}
