/** What the admin API says of events and does to them: as the commands do, on connections that stay open while they are of use. */
import { randomUUID } from "node:crypto";
import { systemClock } from "../adapters/system/clock.ts";
import type { EventDoors, ReplayOrdered, ReplayView, RunChanged, RunOrdered, RunsQuery } from "../admin/events.ts";
import { Problem } from "../admin/problem.ts";
import { composeReplay } from "../compose/dead-letters.ts";
import { limitsOf } from "../compose/executor.ts";
import type { composeRunStore } from "../compose/store.ts";
import type { Config } from "../core/config.ts";
import { firstSource } from "../core/config/sources.ts";
import { counted } from "../core/counted.ts";
import { messageOf } from "../core/errors.ts";
import { createPayloadHash } from "../core/payload-hash.ts";
import type { RunKind, RunState, RunSummary } from "../core/run.ts";
import { isOf, type Tenants } from "../core/tenants.ts";
import { Groups } from "../recovery/groups.ts";
import { isSelected, type Letter, type Letters, scan } from "../recovery/letters.ts";
import { type GroupReport, replayGroups } from "../recovery/replay.ts";
import { storyOf } from "../recovery/runs-explain.ts";
import { findMessages } from "../recovery/runs-messages.ts";
import { skillOf } from "../recovery/runs-progress.ts";
import { findOwn, type Looked, type OwnPayloads, ownPayloads, tenantOf } from "../recovery/whose.ts";
import { allStates, LatestRuns, scanRuns } from "../recovery/runs-scan.ts";
import { inTurn, messagesPeekedMax, type Place, placeOf } from "./admin-places.ts";
import { changeRun } from "./admin-runs.ts";
import { plainLetter, time } from "./dlq-letters.ts";
import { describeStep, plainStory } from "./runs-explain.ts";
import { type ListedRun, plainSummary } from "./runs.ts";
import { plainRun, stepInDoubt } from "./runs-view.ts";

/** How a replay that was ordered over the API goes: as `holdfast dlq replay` by itself. */
const pace = { perSecond: 50, waitMs: 60_000, failuresMax: 0 };
/** Replays that are remembered. */
const replaysMax = 50;

type Store = ReturnType<typeof composeRunStore>;

const noRecord = "no record";

interface RunsWanted {
  readonly latest: LatestRuns<ListedRun>;
  readonly wanted: readonly RunState[];
  readonly skill: string | undefined;
  /** Gets what pipeline hashes stand for. */
  readonly known: Map<string, RunKind>;
}

export class AdminEvents implements EventDoors {
  readonly #config: Config;
  readonly #directory: string;
  readonly #places = new Map<string, Place>();
  readonly #replays: ReplayView[] = [];
  /** Where they were ordered and for whom, by the id of a replay. */
  readonly #ordered = new Map<string, { readonly source: string; readonly tenants: Tenants }>();
  readonly #running = new Set<Promise<void>>();
  readonly #abort = new AbortController();

  constructor(config: Config, directory: string) {
    this.#config = config;
    this.#directory = directory;
  }

  /** Ends replays behind the letter that is at hand, and closes everything. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#running);
    for (const { records, letters, queues } of this.#places.values()) await Promise.all([records.close(), letters.close(), queues.close()]);
  }

  async runs(source: string | undefined, { states, skill, limit }: RunsQuery, tenants: Tenants): Promise<object> {
    const latest = new LatestRuns<ListedRun>(limit);
    const wanted = states.length === 0 ? allStates : states;
    const known = new Map<string, RunKind>();
    for (const place of this.#meant(source)) await this.#addRuns(place, { latest, wanted, skill, known }, tenants);
    return { total: latest.total, states: Object.fromEntries(latest.byState), runs: latest.list().map((run) => plainSummary(run, known)) };
  }

  async #addRuns(place: Place, { latest, wanted, skill, known }: RunsWanted, tenants: Tenants): Promise<void> {
    const { name } = firstSource(place.config);
    const own = tenants === undefined ? undefined : await looking(place, tenants, (looked) => ownPayloads(looked, tenants, messagesPeekedMax));
    const add = (): Promise<void> =>
      place.records.use(async ({ store, records, kinds }) => {
        for (const [hash, kind] of kinds) known.set(hash, kind);
        const pages = own === undefined ? scanRuns(records, { clock: systemClock, states: wanted, signal: this.#abort.signal }) : runsOf(store, own, wanted);
        for await (const page of pages)
          for (const run of page) if (skill === undefined || kinds.get(run.pipelineHash)?.skill === skill) latest.add({ ...run, source: name });
      });
    await inTurn(place, tenants, add);
  }

  async run(source: string | undefined, eventId: string, tenants: Tenants): Promise<object | undefined> {
    for (const place of this.#meant(source)) {
      const found = await this.#runAt(place, eventId, tenants);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #runAt(place: Place, eventId: string, tenants: Tenants): Promise<object | undefined> {
    const theirs = tenants === undefined ? undefined : await looking(place, tenants, (looked) => findOwn(looked, tenants, eventId, messagesPeekedMax));
    return place.records.use(async ({ store, kinds }) => {
      const view = await store.read(eventId);
      if (view !== undefined && theirs?.own.has(eventId, view.payloadHash) === false) return undefined;
      return view && { eventId, ...plainRun(view, kinds.get(view.pipelineHash)) };
    });
  }

  /** Of the source's consumer; what its workers sign with. */
  secret(source: string): Promise<string> {
    return this.#place(source).records.use(({ store }) => store.secret());
  }

  /** The record of a run that is over, and that nobody will ask for; one that is not stays. */
  async forget(source: string, eventId: string): Promise<void> {
    await this.#place(source).records.use(({ records }) => records.remove(eventId));
  }

  /** Of the source that has its record, or a message of it. */
  async explain(source: string | undefined, eventId: string, tenants: Tenants): Promise<object | undefined> {
    let withoutRecord: object | undefined;
    for (const place of this.#meant(source)) {
      const told = await this.#explainAt(place, eventId, tenants);
      if (told !== undefined && told.state !== noRecord) return told;
      withoutRecord ??= told;
    }
    return withoutRecord;
  }

  async #explainAt(place: Place, eventId: string, tenants: Tenants): Promise<{ readonly state: string } | undefined> {
    const { name } = firstSource(place.config);
    const theirs = tenants === undefined ? undefined : await looking(place, tenants, (looked) => findOwn(looked, tenants, eventId, messagesPeekedMax));
    const found = theirs?.found ?? (await looking(place, tenants, ({ queues, letters }) => findMessages(queues, letters, eventId, messagesPeekedMax)));
    return place.records.use(async ({ store, kinds }) => {
      // The record last: what was in no queue may have been on its way from one to another.
      const known = await store.read(eventId);
      const view = known === undefined || theirs?.own.has(eventId, known.payloadHash) === false ? undefined : known;
      if (view === undefined && found.messages.length + found.letters.length === 0) return undefined;
      const kind = view && kinds.get(view.pipelineHash);
      const story = storyOf({ view, kind, found, logged: [], nowMs: Date.now(), describeStep, inDoubt: view && stepInDoubt(view.steps) });
      const eventType = kind?.eventType ?? found.messages[0]?.eventType ?? found.letters[0]?.eventType ?? "";
      const head = { eventId, skill: view === undefined ? "" : skillOf(view, kind), eventType, state: view?.state ?? noRecord };
      return { source: name, ...head, ...plainStory(story), notLookedThrough: found.cutShort };
    });
  }

  async changeRun(source: string | undefined, order: RunOrdered, tenants: Tenants): Promise<RunChanged> {
    const place = await this.#placeOfRun(source, order.eventId, tenants);
    const carryOut = (): Promise<RunChanged> => changeRun(place, order, { tenants, signal: this.#abort.signal });
    return tenants === undefined ? carryOut() : inTurn(place, tenants, carryOut);
  }

  /** The source that has the event's record, or where none has, a message of it. */
  async #placeOfRun(source: string | undefined, eventId: string, tenants: Tenants): Promise<Place> {
    const places = this.#meant(source);
    const [first] = places;
    if (first === undefined || places.length === 1) return this.#place(source);
    const recorded: Place[] = [];
    const seen: Place[] = [];
    for (const place of places) {
      const told = await this.#explainAt(place, eventId, tenants);
      if (told !== undefined) (told.state === noRecord ? seen : recorded).push(place);
    }
    const having = recorded.length > 0 ? recorded : seen;
    if (having.length > 1)
      throw new Problem(
        "bad-request",
        `expected source to be one of ${having.map(({ config }) => firstSource(config).name).join(", ")}, which each have a run of '${eventId}', found none; nothing was changed`,
      );
    return having[0] ?? first;
  }

  async deadLetters(source: string | undefined, tenants: Tenants): Promise<readonly object[]> {
    const groups: object[] = [];
    for (const place of this.#meant(source)) groups.push(...(await this.#deadLettersAt(place, tenants)));
    return groups;
  }

  #deadLettersAt(place: Place, tenants: Tenants): Promise<readonly object[]> {
    const { name } = firstSource(place.config);
    const group = async (letters: Letters): Promise<readonly object[]> => {
      const counted = new Groups();
      for await (const { letter, delivery } of scan(letters)) if (tenants === undefined || isOf(tenants, tenantOf(letters, delivery))) counted.add(letter);
      return counted
        .list()
        .map(({ example, firstMs, lastMs, ...rest }) => ({ ...rest, first: time(firstMs), last: time(lastMs), example: plainLetter(example, name) }));
    };
    return inTurn(place, tenants, () => place.letters.use(group));
  }

  /** Those that were ordered for these tenants, or some of them. */
  replays(tenants: Tenants): readonly ReplayView[] {
    const isShown = ({ id }: ReplayView): boolean => {
      const own = this.#ordered.get(id)?.tenants;
      return tenants === undefined || (own !== undefined && [...own].every((tenant) => tenants.has(tenant)));
    };
    return this.#replays.filter(isShown).toReversed();
  }

  async replay(source: string | undefined, order: ReplayOrdered, tenants: Tenants): Promise<ReplayView> {
    const place = this.#place(source);
    const group = await place.letters.use((letters) => lettersOf(letters, order, tenants));
    const fingerprint = group[0]?.fingerprint ?? order.group;
    const { name } = firstSource(place.config);
    // The same failure may lie in several sources.
    const isUnderWay = ({ id, fingerprint: of, state, trouble }: ReplayView): boolean => {
      const ordered = this.#ordered.get(id);
      return of === fingerprint && state === "replaying" && trouble === "" && ordered?.source === name && overlap(ordered.tenants, tenants);
    };
    if (this.#replays.some(isUnderWay)) throw new Problem("conflict", `expected a group that nobody replays here, found that ${fingerprint} is being replayed`);
    const first: GroupReport = { fingerprint, state: "replaying", letters: group.length, replayed: 0, completed: 0, failed: 0, why: "" };
    const id = randomUUID().slice(0, 8);
    const head = { id, orderedAt: time(Date.now()) };
    const shown = { ...head, ...first, trouble: "" };
    this.#replays.push(shown);
    this.#ordered.set(id, { source: name, tenants });
    const forgotten = this.#replays.length > replaysMax ? this.#replays.shift() : undefined;
    if (forgotten !== undefined) this.#ordered.delete(forgotten.id);
    const tell = (report: GroupReport, trouble = ""): void => {
      const at = this.#replays.findIndex((one) => one.id === id);
      if (at >= 0) this.#replays[at] = { ...head, ...report, trouble };
    };
    const running = this.#carryOut(place, group, order, tell).catch((error: unknown) => {
      const last = this.#replays.find((one) => one.id === id) ?? shown;
      tell({ ...last, state: "interrupted" }, messageOf(error, 300));
    });
    this.#running.add(running);
    void running.finally(() => this.#running.delete(running));
    return shown;
  }

  async #carryOut(
    { config, letters }: Place,
    group: readonly Letter[],
    { from, repeatsInDoubt, reason, who }: ReplayOrdered,
    tell: (report: GroupReport) => void,
  ): Promise<void> {
    const surroundings = await composeReplay(config, this.#directory);
    await surroundings.store.start();
    try {
      await surroundings.publisher.start();
      const options = { ...pace, from, repeatsInDoubt, reason, who, patch: undefined, signal: this.#abort.signal, progress: tell };
      await letters.use((open) => replayGroups(open, [group], surroundings, options));
    } finally {
      await surroundings.publisher.stop();
      await surroundings.store.stop();
    }
  }

  /** All of them where none is named. */
  #meant(source: string | undefined): readonly Place[] {
    return source === undefined ? this.#config.sources.map(({ name }) => this.#place(name)) : [this.#place(source)];
  }

  #place(source: string | undefined): Place {
    const { sources } = this.#config;
    const names = sources.map(({ name }) => name);
    const chosen = source === undefined && names.length === 1 ? names[0] : source;
    const found = sources.find(({ name }) => name === chosen);
    if (found === undefined)
      throw new Problem("bad-request", `expected source to be one of ${names.join(", ")}, found ${source === undefined ? "none" : `'${source}'`}`);
    let place = this.#places.get(found.name);
    if (place === undefined) {
      place = placeOf({ ...this.#config, sources: [found] }, this.#directory);
      this.#places.set(found.name, place);
    }
    return place;
  }
}

/** Looks at messages of the place in turn. */
function looking<Result>(place: Place, tenants: Tenants, look: (looked: Looked) => Promise<Result>): Promise<Result> {
  const { config, queues, letters } = place;
  const hashPayload = createPayloadHash(limitsOf(config));
  return inTurn(place, tenants, () => queues.use((open) => letters.use((own) => look({ queues: open, letters: own, hashPayload }))));
}

/** Whether both are about events of one of them. */
function overlap(one: Tenants, other: Tenants): boolean {
  return one === undefined || other === undefined || [...one].some((tenant) => other.has(tenant));
}

/** Records of events of which a message is somebody's own. */
async function* runsOf(store: Store, own: OwnPayloads, states: readonly RunState[]): AsyncGenerator<readonly RunSummary[]> {
  for (const eventId of own.events()) {
    const view = await store.read(eventId);
    if (view === undefined || !states.includes(view.state) || !own.has(eventId, view.payloadHash)) continue;
    const { key: _key, steps, outbox, history: _history, setbacks: _setbacks, ...standing } = view;
    yield [{ ...standing, eventId, steps: steps.length, outboxBytes: outbox.byteLength }];
  }
}

/** Those of the group that can be replayed; as many as were expected, or none is. */
export async function lettersOf(letters: Letters, { group, expected }: ReplayOrdered, tenants: Tenants): Promise<readonly Letter[]> {
  const found: Letter[] = [];
  const fingerprints = new Set<string>();
  for await (const { letter, delivery } of scan(letters)) {
    if (letter.eventId === "" || !isSelected(letter, { groups: [group], events: [] })) continue;
    if (tenants !== undefined && !isOf(tenants, tenantOf(letters, delivery))) continue;
    // The event of that id may be another tenant's, and would be brought back with this payload.
    if (tenants !== undefined && letter.reason === "EventIdReuse")
      throw new Problem(
        "conflict",
        "expected letters of events of their own, found some whose event id was another event's; send them again under ids of their own",
      );
    found.push(letter);
    fingerprints.add(letter.fingerprint);
  }
  if (fingerprints.size > 1)
    throw new Problem("bad-request", `expected the fingerprint of one group, found that '${group}' begins ${fingerprints.size} of them`);
  if (found.length !== expected)
    throw new Problem(
      "wrong-count",
      `expected ${counted(expected, "dead letter")} of '${group}', found ${found.length}; nothing was sent: look again, and name as many`,
      {
        found: found.length,
      },
    );
  return found;
}
