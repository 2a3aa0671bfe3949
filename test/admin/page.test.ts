// The live page, in a browser, of a real worker: a person sees what is wrong, and mends it by clicks and keys.
import { strict as assert } from "node:assert";
import { barriersOf, hasBrowser, startPageScene } from "../support/admin-page.ts";
import { eventually } from "../support/eventually.ts";
import { longTest } from "../support/long.ts";

if (hasBrowser) {
  longTest(
    "a hung dependency fills its bulkhead, an open circuit is closed, dead letters are replayed and an event is explained, all on the page",
    async (t) => {
      const { bench, hang, refuse, open, shoot, url } = await startPageScene(t);
      const { page, complaints } = await open();
      const news = page.getByRole("status");
      await news.getByText("Nothing: all that is looked at is well").waitFor();
      await shoot(page, "well");

      await page.getByRole("rowheader", { name: /this one/ }).waitFor();
      const second = await bench.startWorker({ threads: 1, logFormat: "json" });
      await page.getByRole("heading", { name: /Workers of the pool: 2 of 2 ready/ }).waitFor();
      await page.getByRole("button", { name: "Probe input" }).click();
      await page.getByRole("dialog").getByLabel("Why").fill("to see that the way is open");
      await page.getByRole("dialog").getByRole("button", { name: "Send probe" }).click();
      await page.getByRole("row").filter({ hasText: "settle" }).getByText("completed").waitFor();
      await shoot(page, "fleet");
      second.process.kill("SIGTERM");
      await second.done;
      await page.getByRole("heading", { name: /Workers of the pool: 1 of 1 ready/ }).waitFor();

      hang(true);
      for (let number = 0; number < 10; number += 1) await bench.send(`order-${number}`);
      await news.getByText(/The bulkhead of bank is full/).waitFor();
      const bulkhead = page.getByRole("meter", { name: "Bulkhead of bank" });
      assert.deepEqual([await bulkhead.getAttribute("aria-valuenow"), await bulkhead.getAttribute("aria-valuemax")], ["4", "4"]);
      const held = page.getByRole("row").filter({ has: page.getByRole("meter", { name: "Window of payer from input" }) });
      await held.getByText("a dependency").waitFor();
      assert.equal(await held.getByRole("meter", { name: "Running of payer" }).getAttribute("aria-valuemax"), "100");
      assert.equal(await page.getByRole("button", { name: "Explain order-0" }).count(), 1);
      await page.getByText("reserve ✓").first().waitFor();
      await shoot(page, "bulkhead-full");

      await page.getByRole("button", { name: "Open the circuit of bank" }).click();
      await page.getByRole("dialog").getByLabel("Why").fill("the bank hangs");
      await page.getByRole("dialog").getByRole("button", { name: "Open circuit" }).click();
      await news.getByText("The circuit of bank is isolated").waitFor();
      await shoot(page, "circuit-open");
      hang(false);
      // By keys alone.
      await page.getByRole("button", { name: "Close the circuit of bank" }).focus();
      await page.keyboard.press("Enter");
      await page.getByRole("dialog").waitFor();
      await page.getByRole("dialog").getByLabel("Why").focus();
      await page.keyboard.type("it answers again");
      await page.keyboard.press("Enter");
      await news.getByText("Nothing: all that is looked at is well").waitFor();
      await eventually("all to be completed", () => Object.values(bench.broker.inspect().queues["input"]?.states ?? {}).every((count) => count === 0), 30_000);

      refuse(true);
      for (const eventId of ["refused-1", "refused-2", "refused-3"]) await bench.send(eventId);
      const group = page.getByRole("row").filter({ hasText: "CARD_REFUSED" });
      await group.getByRole("cell", { name: "3", exact: true }).waitFor();
      refuse(false);
      await shoot(page, "dead-letters");
      await group.getByRole("button", { name: /Replay group/ }).click();
      await page.getByRole("dialog").getByLabel("Why").fill("the cards are good now");
      await shoot(page, "replay");
      await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click();
      await page.getByText(/done, 3 of 3 replayed, 3 completed, 0 failed/).waitFor();
      await eventually("no dead letter to be left", () => bench.broker.inspect().queues["input/$DeadLetterQueue"]?.states.active === 0);

      await page.getByLabel("Event id").fill("refused-1");
      await page.getByRole("button", { name: "Explain", exact: true }).click();
      const story = page.locator("ol.story");
      await story.getByText(/brought back by a replay.*the cards are good now/).waitFor();
      await story.getByText(/step pay: completed/).waitFor();
      await shoot(page, "explained");
      assert.deepEqual(await barriersOf(page), []);

      refuse(true);
      await bench.send("refused-4");
      const stateOf = async (eventId: string): Promise<unknown> =>
        ((await (await fetch(`${url}/api/v1/runs/${eventId}`)).json()) as { readonly state?: string }).state;
      await eventually("it to be given up", async () => (await stateOf("refused-4")) === "dead", 30_000);
      refuse(false);
      await page.getByLabel("Event id").fill("refused-4");
      await page.getByRole("button", { name: "Explain", exact: true }).click();
      await page.getByRole("button", { name: "Resume run …" }).click();
      await page.getByRole("dialog").getByLabel("Why").fill("this card is good as well");
      await page.getByRole("dialog").getByRole("button", { name: "Resume run" }).click();
      await page.getByRole("dialog").waitFor({ state: "detached" });
      await shoot(page, "resumed");
      await eventually("it to be done", async () => (await stateOf("refused-4")) === "done", 30_000);

      await page.getByRole("button", { name: "Pause …" }).click();
      await page.getByRole("dialog").waitFor();
      await page.keyboard.press("Escape");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      assert.deepEqual(complaints, []);
    },
  );

  longTest("the page is for all: on a phone, in the dark, without anything from elsewhere", async (t) => {
    const { bench, open, shoot, hang, url } = await startPageScene(t);
    hang(true);
    for (let number = 0; number < 10; number += 1) await bench.send(`order-${number}`);
    for (const colorScheme of ["light", "dark"] as const) {
      const { page, complaints } = await open({ colorScheme, width: 390, height: 844 });
      await page
        .getByRole("status")
        .getByText(/The bulkhead of bank is full/)
        .waitFor();
      await shoot(page, `phone-${colorScheme}`);
      const { scrollWidth, clientWidth } = await page.evaluate<{ readonly scrollWidth: number; readonly clientWidth: number }>(
        "({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth })",
      );
      assert.ok(scrollWidth <= clientWidth, `expected no scrolling to the side, found ${scrollWidth} of ${clientWidth}`);
      assert.deepEqual(await barriersOf(page), [], colorScheme);
      assert.deepEqual(complaints, []);
      await page.context().close();
    }
    const { page } = await open({ colorScheme: "dark" });
    await page.getByText("reserve ✓").first().waitFor();
    await shoot(page, "dark");
    assert.deepEqual(await barriersOf(page), []);
    const policy = (await fetch(url)).headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'; script-src 'self' 'sha256-[\w+/=]+'/);
    assert.ok(!/unsafe|https?:|\*/.test(policy), policy);
  });
}
