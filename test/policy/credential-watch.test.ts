import { strict as assert } from "node:assert";
import { describe, test } from "node:test";
import { array, assert as always, boolean, integer, property, record } from "fast-check";
import type { CredentialEvent } from "#runtime/core/catalogue.ts";
import { renewalPauseMs, reopenBeforeMs } from "#runtime/core/credential-news.ts";
import { CredentialWatch } from "#runtime/policy/credential-watch.ts";

const lifeMs = 3_600_000;

class Scene {
  nowMs = 1_000;
  readonly told: CredentialEvent[] = [];
  readonly watch: CredentialWatch = new CredentialWatch({ clock: { monotonicMs: () => this.nowMs }, tell: (event) => this.told.push(event) });

  renewed(login = "broker", life = lifeMs): void {
    this.watch.heard({ login, error: undefined, leftMs: life, lifeMs: life });
  }

  failed(leftMs: number, login = "broker", life = lifeMs): void {
    this.watch.heard({ login, error: "no identity", leftMs, lifeMs: life });
  }

  states(): readonly string[] {
    return this.told.map(({ state }) => state);
  }
}

describe("a token that cannot be replaced", () => {
  test("is told once, from the second failure on, with the time that is left", () => {
    const scene = new Scene();
    scene.renewed();
    scene.nowMs += lifeMs - 900_000.4;
    scene.failed(900_000.4);
    assert.deepEqual([scene.told, scene.watch.isEnding], [[], false]);
    scene.nowMs += 5_000;
    scene.failed(895_000.4);
    scene.failed(895_000.4);
    assert.deepEqual(scene.told, [{ type: "credential.failing", state: "begin", login: "broker", leftMs: 895_000, failures: 2, error: "no identity" }]);
    assert.deepEqual(scene.watch.view(), [{ login: "broker", isEnding: false, failures: 3, leftMs: scene.watch.view()[0]?.leftMs }]);
  });

  test("stops the receiving half a minute before its end, and lets it go on when there is another", () => {
    const scene = new Scene();
    scene.renewed();
    scene.failed(60_000);
    scene.failed(60_000);
    scene.nowMs += 29_999;
    scene.watch.look();
    assert.deepEqual([scene.states(), scene.watch.isEnding], [["begin"], false]);
    scene.nowMs += 1;
    scene.watch.look();
    scene.watch.look();
    assert.deepEqual([scene.states(), scene.watch.isEnding, scene.watch.view()[0]?.isEnding], [["begin", "ending"], true, true]);
    scene.nowMs += 29_999;
    assert.equal(scene.watch.isEnding, true);
    scene.nowMs += 1;
    scene.watch.look();
    assert.deepEqual([scene.watch.isEnding, scene.watch.view()[0]?.leftMs], [false, 0], "whoever receives asks for a token");
    scene.renewed();
    assert.deepEqual([scene.states(), scene.watch.isEnding, scene.watch.view()], [["begin", "ending", "end"], false, []]);
    assert.deepEqual([scene.told.at(-1)?.leftMs, scene.told.at(-1)?.failures], [lifeMs, 2]);
  });

  test("is told with its first failure when little time is left, a tenth of a short life", () => {
    const scene = new Scene();
    scene.renewed("broker", 60_000);
    scene.failed(6_001, "broker", 60_000);
    assert.deepEqual([scene.states(), scene.watch.isEnding], [[], false]);
    scene.nowMs += 1;
    scene.watch.look();
    assert.deepEqual([scene.states(), scene.watch.isEnding], [["begin", "ending"], true]);
  });

  test("one that is merely used until near its end is no trouble, nor is a login that never had one, nor one failure that passes", () => {
    const scene = new Scene();
    scene.failed(0, "never");
    scene.failed(0, "never");
    scene.renewed();
    // Another connection to the same, which has had no token yet.
    scene.failed(0, "broker", 0);
    scene.failed(0, "broker", 0);
    scene.nowMs += lifeMs;
    scene.watch.look();
    assert.deepEqual([scene.told, scene.watch.isEnding, scene.watch.view()], [[], false, []]);
    scene.renewed();
    scene.failed(900_000);
    scene.renewed();
    assert.deepEqual([scene.told, scene.watch.isEnding], [[], false]);
  });

  test("each login has an account of its own", () => {
    const scene = new Scene();
    scene.renewed("broker");
    scene.renewed("store");
    scene.failed(10_000, "store");
    scene.renewed("broker");
    assert.deepEqual([scene.watch.isEnding, scene.watch.view().map(({ login }) => login)], [true, ["store"]]);
    assert.deepEqual(
      scene.told.map(({ login, state }) => `${login} ${state}`),
      ["store begin", "store ending"],
    );
  });

  test("is told in order, whatever happens: begin, ending at most once, then an end", () => {
    always(
      property(array(record({ waitMs: integer({ min: 0, max: 40_000 }), isRenewal: boolean() })), (happenings) => {
        const scene = new Scene();
        scene.renewed("broker", 60_000);
        let endsAtMs = scene.nowMs + 60_000;
        for (const { waitMs, isRenewal } of happenings) {
          scene.nowMs += waitMs;
          if (isRenewal) {
            scene.renewed("broker", 60_000);
            endsAtMs = scene.nowMs + 60_000;
          } else scene.failed(endsAtMs - scene.nowMs, "broker", 60_000);
          scene.watch.look();
          assert.equal(scene.watch.isEnding, scene.watch.view().length > 0 && endsAtMs > scene.nowMs && endsAtMs - scene.nowMs <= 6_000);
        }
        assert.match(scene.states().join(" "), /^(begin( ending)?( end|$) ?)*$/);
      }),
    );
  });
});

describe("the pause before a token is asked for again", () => {
  test("doubles up to a minute, and leaves time for four tries before the token ends", () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 50].map((failures) => renewalPauseMs(failures, lifeMs)),
      [5_000, 10_000, 20_000, 40_000, 60_000, 60_000],
    );
    assert.deepEqual([renewalPauseMs(5, 40_000), renewalPauseMs(5, 100), renewalPauseMs(1, 0), renewalPauseMs(5, -1)], [10_000, 100, 5_000, 60_000]);
  });

  test("the connection is reopened ten seconds before the end, or a twentieth of a short life", () => {
    assert.deepEqual([reopenBeforeMs(lifeMs), reopenBeforeMs(60_000)], [10_000, 3_000]);
  });
});
