// Contracts in the test kit, and in the projects that commands make.
import { strict as assert } from "node:assert";
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { defineSkill } from "#runtime/index.ts";
import { testSkill } from "#runtime/testing/index.ts";
import { folderOfTest, sampleContracts } from "../support/contract-files.ts";
import { runCommand } from "../support/holdfast-command.ts";

const root = resolve(import.meta.dirname, "../..");

test("testSkill checks and converts by the contracts, in every way that a run can go", async () => {
  const ship = defineSkill({
    name: "ship",
    handles: [{ eventType: "OrderPlaced", versions: "2.x" }],
    run: async (context) => {
      const at = await context.step("plan", () => "2026-01-01T00:00:00Z");
      context.emit("OrderShipped", { orderId: (context.event.payload as { orderId: string }).orderId, at });
    },
  });
  const event = { version: "1.0", payload: { orderId: "o-1", amount: "1.00" } };
  const contracts = sampleContracts;
  const { undisturbed } = await testSkill.everyWay(ship, { event, contracts });
  assert.deepEqual([undisturbed.outcome, undisturbed.emitted.map(({ payload }) => payload)], ["completed", [{ orderId: "o-1", at: "2026-01-01T00:00:00Z" }]]);
  const broken = await testSkill(ship, { event: { ...event, payload: { orderId: 1 } }, contracts });
  assert.deepEqual([broken.outcome, broken.reason], ["dead-lettered", "InvalidPayload"]);
  const unread = await testSkill(ship, { event });
  assert.deepEqual([unread.outcome, unread.reason], ["dead-lettered", "UnsupportedVersion"]);
});

test("a project that init makes has a contract of its event, and a new skill brings one for its own, which contracts check finds good", async (t) => {
  const folder = folderOfTest(t);
  const shop = join(folder, "shop");
  const made = await runCommand(["init", "shop", "--no-install"], undefined, folder);
  assert.equal(made.code, 0, made.stderr);
  assert.deepEqual(readdirSync(join(shop, "contracts/CustomerSignedUp")), ["1.0.ts", "examples"]);
  // As npm would install it, without a registry.
  mkdirSync(join(shop, "node_modules"));
  symlinkSync(root, join(shop, "node_modules/holdfast"));
  for (const name of ["zod", "@types"]) symlinkSync(join(root, "node_modules", name), join(shop, "node_modules", name));
  const added = await runCommand(["new", "skill", "refund", "--event", "RefundRequested"], undefined, shop);
  const again = await runCommand(["new", "skill", "audit", "--event", "RefundRequested"], undefined, shop);
  assert.deepEqual([added.code, again.code], [0, 0], added.stderr + again.stderr);
  assert.match(
    readFileSync(join(shop, "plugins/refund/index.ts"), "utf8"),
    /import contract from "\.\.\/\.\.\/contracts\/RefundRequested\/1\.0\.ts";[^]*payload: contract,/,
  );
  assert.match(readFileSync(join(shop, "plugins/audit/index.ts"), "utf8"), /payload: z\.object\(\{ id: z\.string\(\) \}\)/);
  assert.equal(existsSync(join(shop, "contracts/RefundRequested/examples/1.0.json")), true);
  const checked = await runCommand(["contracts", "check", "--folder", "contracts"], undefined, shop);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  assert.match(checked.stdout, /2 event types of contracts, compared with .*: 0 breaking/);
  const tsconfig = JSON.parse(readFileSync(join(shop, "tsconfig.json"), "utf8")) as { include: readonly string[] };
  assert.ok(tsconfig.include.includes("contracts"));
});
