import { strict as assert } from "node:assert";
import { describe, test, type TestContext } from "node:test";
import { createChatChannel } from "#runtime/adapters/escalation/chat.ts";
import { createMailChannel, type MailChannelOptions } from "#runtime/adapters/escalation/mail.ts";
import { createWebhookChannel, signatureOf } from "#runtime/adapters/escalation/webhook.ts";
import type { EscalationNotice } from "#runtime/core/escalation.ts";
import { DeliveryError, type EscalationChannel } from "#runtime/ports/escalation-channel.ts";
import { startHook } from "../support/http-hook.ts";
import { freePort } from "../support/redis-server.ts";
import { mailUser, startMailServer } from "../support/smtp.ts";

const notice: EscalationNotice = {
  id: "hfe-1",
  rule: "payments",
  counted: "project=shop",
  critical: true,
  count: 5,
  windowMs: 60_000,
  sinceLast: 7,
  consumer: "orders",
  worker: "w",
  timestamp: "2026-01-01T00:00:00.000Z",
  traceId: "trace-1",
  correlationId: "c",
  projectId: "shop",
  tenantId: "",
  eventId: "e-1",
  eventType: "OrderPaid",
  skill: "payer",
  attempt: 3,
  failureClass: "permanent",
  code: "CARD",
  step: "pay",
  description: "card refused <!channel> & more",
};
const never = new AbortController().signal;
const clock = { wallMs: () => 1_767_225_600_500 };

/** What it was refused with. */
async function refusal(channel: EscalationChannel, signal = never): Promise<DeliveryError> {
  const error: unknown = await channel.send(notice, signal).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof DeliveryError, `expected a DeliveryError, got ${String(error)}`);
  return error;
}

describe("a webhook", () => {
  test("takes the notice as JSON, signed with the secret, under the notice's id", async (t) => {
    const hook = await startHook(t);
    const secret = "sixteen characters";
    await createWebhookChannel({ url: hook.url, secret, headers: new Map([["authorization", "Bearer x"]]), clock }).send(notice, never);
    const [request] = hook.taken;
    assert.deepEqual(JSON.parse(request?.body ?? ""), { type: "Escalation", ...notice });
    const headers = request?.headers ?? {};
    assert.deepEqual([headers["idempotency-key"], headers["authorization"], headers["x-holdfast-timestamp"]], ["hfe-1", "Bearer x", "1767225600"]);
    assert.equal(headers["x-holdfast-signature"], signatureOf(secret, "1767225600", request?.body ?? ""));
    assert.match(headers["x-holdfast-signature"], /^sha256=[0-9a-f]{64}$/);
  });

  test("has no signature without a secret", async (t) => {
    const hook = await startHook(t);
    await createWebhookChannel({ url: hook.url, clock }).send(notice, never);
    assert.equal(hook.taken[0]?.headers["x-holdfast-signature"], undefined);
  });

  for (const [status, isPermanent] of [
    [500, false],
    [503, false],
    [429, false],
    [408, false],
    [302, true],
    [400, true],
    [404, true],
    [410, true],
  ] as const) {
    test(`that answers ${status} is ${isPermanent ? "not asked again" : "tried again"}, and its address is in no error`, async (t) => {
      const hook = await startHook(t);
      hook.statuses.push(status);
      const error = await refusal(createWebhookChannel({ url: hook.url, clock }));
      assert.deepEqual([error.isPermanent, hook.requests.length], [isPermanent, 1]);
      assert.match(error.message, new RegExp(`^expected 127\\.0\\.0\\.1:\\d+ to take a notice, found HTTP status ${status}`));
      assert.doesNotMatch(error.message, /T0KEN/);
    });
  }

  test("that is not there is tried again, and ends with its worker", async (t) => {
    const port = await freePort();
    const error = await refusal(createWebhookChannel({ url: `http://127.0.0.1:${port}/T0KEN`, clock }));
    assert.deepEqual([error.isPermanent, /ECONNREFUSED/.test(error.message), /T0KEN/.test(error.message)], [false, true, false], error.message);
    const hook = await startHook(t);
    await refusal(createWebhookChannel({ url: hook.url, clock }), AbortSignal.abort());
    assert.equal(hook.requests.length, 0);
  });
});

describe("a chat", () => {
  test("takes text that mentions nobody, in Slack's form", async (t) => {
    const hook = await startHook(t);
    await createChatChannel({ url: hook.url, form: "slack" }).send(notice, never);
    const { text } = JSON.parse(hook.taken[0]?.body ?? "") as { readonly text: string };
    assert.match(text, /^\*\[critical\] payments: 5 failures within 60 s \(project=shop, skill payer\), the last one CARD\*\n/);
    assert.match(text, /\*Description\*: card refused &lt;!channel&gt; &amp; more\n/);
    assert.doesNotMatch(text, /Tenant/);
  });

  test("takes an adaptive card, in the form of Teams", async (t) => {
    const hook = await startHook(t);
    await createChatChannel({ url: hook.url, form: "teams" }).send(notice, never);
    const { type, attachments } = JSON.parse(hook.taken[0]?.body ?? "") as {
      readonly type: string;
      readonly attachments: readonly {
        readonly contentType: string;
        readonly content: { readonly type: string; readonly body: readonly { readonly type: string }[] };
      }[];
    };
    const [card] = attachments;
    assert.deepEqual([type, card?.contentType, card?.content.type], ["message", "application/vnd.microsoft.card.adaptive", "AdaptiveCard"]);
    assert.deepEqual(
      card?.content.body.map((part) => part.type),
      ["TextBlock", "FactSet"],
    );
  });

  for (const form of ["slack", "teams"] as const)
    test(`shows no link of a message's own under another text, in the form of ${form}`, async (t) => {
      const hook = await startHook(t);
      await createChatChannel({ url: hook.url, form }).send({ ...notice, description: "[sign in](https://elsewhere.example)" }, never);
      assert.match(hook.taken[0]?.body ?? "", /\[sign in\] \(https/);
    });
});

describe("mail", () => {
  async function mailer(t: TestContext, security: MailChannelOptions["security"], changes: Partial<MailChannelOptions> = {}) {
    const server = await startMailServer(t, { security });
    const channel = createMailChannel({
      host: "localhost",
      port: server.port,
      security,
      ...mailUser,
      ca: server.ca,
      from: "Holdfast <holdfast@example.com>",
      to: ["ops@example.com", "lead@example.com"],
      ...changes,
    });
    return { server, channel };
  }

  for (const security of ["tls", "starttls", "none"] as const) {
    test(`is sent with a log-in and security '${security}', under the notice's id`, async (t) => {
      const { server, channel } = await mailer(t, security);
      assert.deepEqual(await channel.check(), { kind: "ok" });
      await channel.send(notice, never);
      const [mail = ""] = server.mails;
      assert.match(mail, /^Message-ID: <hfe-1@example\.com>\r?$/im);
      assert.match(mail, /^To: ops@example\.com, lead@example\.com\r?$/m);
      assert.match(mail.replaceAll(/\r?\n /g, " "), /^Subject: \[critical\] payments: 5 failures within 60 s/m);
      assert.match(mail, /^Trace: trace-1\r?$/m);
    });
  }

  test("is not sent to a server that offers no security where it is demanded", async (t) => {
    const { server } = await mailer(t, "none");
    const channel = createMailChannel({ host: "localhost", port: server.port, security: "starttls", from: "a@example.com", to: ["b@example.com"] });
    await refusal(channel);
    assert.equal(server.mails.length, 0);
  });

  test("of a user that the server does not know is refused for good, and its password is in no error", async (t) => {
    const { channel } = await mailer(t, "none", { password: "wr0ng-one" });
    const checked = await channel.check();
    assert.equal(checked.kind, "refused");
    const error = await refusal(channel);
    assert.deepEqual([error.isPermanent, /wr0ng-one/.test(error.message + JSON.stringify(checked))], [true, false]);
  });

  test("that is not taken now is tried again; that is not taken ever is not", async (t) => {
    const { server, channel } = await mailer(t, "none", { to: ["ops@example.com"] });
    server.replies.push(451, 550);
    assert.deepEqual([(await refusal(channel)).isPermanent, (await refusal(channel)).isPermanent], [false, true]);
    await channel.send(notice, never);
    assert.equal(server.mails.length, 1);
  });

  test("goes to a server that is not there later", async () => {
    const channel = createMailChannel({ host: "127.0.0.1", port: await freePort(), security: "none", from: "a@example.com", to: ["b@example.com"] });
    assert.equal((await channel.check()).kind, "unanswered");
    assert.equal((await refusal(channel)).isPermanent, false);
  });
});
