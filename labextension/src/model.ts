/**
 * What is signed in, and what is going on: state and signals. Never touches the DOM.
 *
 * The server's list is the truth; beside it stands what was clicked here and how that went.
 */
import { Signal } from '@lumino/signaling';

import type { Api, IProblem, IProfile, IProfiles, ISignIn } from './api';
import {
  cardOf,
  dropSignOut,
  endOf,
  type ICard,
  type ILocal,
  isGood,
  type Mood,
  needsAttention,
  problemOf,
} from './card';
import { type ITab, lead } from './lead';

export type { ICard, ITab, Mood };

export interface IOptions {
  api: Api;
  /** Opens an empty tab, or returns null if the browser blocks it. */
  openTab: () => ITab | null;
  /** Seconds since the epoch. */
  clock?: () => number;
}

export class Model {
  constructor({ api, openTab, clock = () => Date.now() / 1000 }: IOptions) {
    this._api = api;
    this._openTab = openTab;
    this._clock = clock;
  }

  /** Emitted whenever anything here has changed. */
  readonly changed = new Signal<this, void>(this);

  /** A login that was good is over, and nobody has clicked Sign out here. */
  readonly ended = new Signal<this, ICard>(this);

  /** A login that nobody renews is nearly over. Emitted once for each sign-in. */
  readonly expiring = new Signal<this, ICard>(this);

  get cards(): readonly ICard[] {
    return this._cards;
  }

  /** Whether the list has been had at least once. */
  get isLoaded(): boolean {
    return this._config !== null;
  }

  get config(): IProfiles['config'] | null {
    return this._config;
  }

  /** Why the list could not be had. */
  get problem(): IProblem | null {
    return this._problem;
  }

  get mood(): Mood {
    if (this._problem || this._cards.some(needsAttention)) {
      return 'attention';
    }
    return this._cards.some(isGood) ? 'in' : 'out';
  }

  /** The profile that is meant when none is named. */
  get current(): ICard | null {
    const cards = this._cards;
    return (
      cards.find((card) => card.profile === this._defaultProfile) ??
      cards.find((card) => card.default) ??
      (cards.length === 1 ? cards[0]! : null)
    );
  }

  /** The name that the settings give; it goes before the server's own default. */
  get defaultProfile(): string {
    return this._defaultProfile;
  }

  set defaultProfile(name: string) {
    this._defaultProfile = name;
    this._update();
  }

  /** How many seconds before its end `expiring` is emitted; 0: never. */
  get notifyBefore(): number {
    return this._notifyBefore;
  }

  set notifyBefore(seconds: number) {
    this._notifyBefore = seconds;
    this._update();
  }

  /** The time by the server's clock, which all times here are told by. */
  now(): number {
    return this._clock() + this._offset;
  }

  /** Ask the server again. Calls while a request is under way share one more. Never rejects. */
  refresh(): Promise<void> {
    this._isStale = true;
    this._round ??= this._ask();
    return this._round;
  }

  /** Sign in, or with `switch` as somebody else. To be called in the click: browsers block a tab that opens later. */
  signIn(profile: string, options: ISignIn = {}): Promise<void> {
    const again = () => this.signIn(profile, options);
    return this._act(profile, 'sign-in', again, async (local) => {
      local.way = null;
      const { url, ...pending } = await lead(this._openTab(), () =>
        this._api.login(profile, options),
      );
      local.way = { url, pending: pending.id };
      this._amend(profile, { pending, failed: null });
    });
  }

  /** End the pending sign-in with the address that its browser has ended on. Nothing here keeps it. */
  paste(profile: string, address: string): Promise<void> {
    const again = () => this.refresh();
    return this._act(profile, 'paste', again, async (local) => {
      const id = this._profile(profile)?.pending?.id;
      if (!id) {
        return;
      }
      try {
        const { url } = await this._api.paste(id, address);
        if (url) {
          local.way = { url, pending: id };
          local.refusal = { problem: ONCE_MORE, pending: id };
        }
      } catch (error) {
        local.refusal = { problem: problemOf(error), pending: id };
      }
    });
  }

  /** Cancel the pending sign-in. */
  cancel(profile: string): Promise<void> {
    return this._act(
      profile,
      'cancel',
      () => this.cancel(profile),
      async () => {
        const pending = this._profile(profile)?.pending;
        if (pending) {
          await this._api.cancel(pending.id);
          this._amend(profile, { pending: null });
        }
      },
    );
  }

  /** Let the person at the device confirm that it is them. */
  confirm(profile: string): Promise<void> {
    const again = () => this.confirm(profile);
    return this._act(profile, 'confirm', again, async () => {
      this._amend(profile, await this._api.confirm(profile));
    });
  }

  /** Sign out everywhere on this machine. To be called in the click, as `signIn`. */
  signOut(profile: string): Promise<void> {
    const again = () => this.signOut(profile);
    return this._act(profile, 'sign-out', again, async (local) => {
      const tab = this._profile(profile)?.ends_session ? this._openTab() : null;
      const report = await lead(tab, () => this._api.logout(profile));
      local.note = report.message;
      local.way = report.url && !tab ? { url: report.url, pending: null } : null;
      if (report.local) {
        local.isGood = false;
        this._amend(profile, { state: 'signed_out', message: '', hint: '', pending: null });
      }
    });
  }

  /** Forget the problem, and the note of a sign-out. */
  dismiss(profile: string): Promise<void> {
    const failed = this._profile(profile)?.failed;
    const again = () => this.dismiss(profile);
    return this._act(profile, null, again, async (local) => {
      dropSignOut(local);
      this._amend(profile, { failed: null });
      if (failed) {
        await this._api.cancel(failed.id);
      }
    });
  }

  /** Do again what has failed. To be called in the click, as `signIn`. */
  retry(profile: string): Promise<void> {
    // A sign-in that failed while somebody is signed in was to switch the account.
    const again = () =>
      this.signIn(profile, { switch: this._profile(profile)?.state === 'signed_in' });
    return (this._local(profile).failure?.again ?? again)();
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    Signal.clearData(this);
  }

  private async _ask(): Promise<void> {
    while (this._isStale && !this._isDisposed) {
      this._isStale = false;
      const acts = this._acts;
      try {
        const answer = await this._api.profiles();
        // A list from before what was done here meanwhile is of no use; the next one is under way.
        if (acts === this._acts) {
          this._take(answer);
        }
      } catch (error) {
        this._problem = problemOf(error);
        this._update();
      }
    }
    this._round = null;
  }

  private _take(answer: IProfiles): void {
    this._offset = answer.now - this._clock();
    this._profiles = answer.profiles;
    this._config = answer.config;
    this._problem = null;
    const over = new Set<string>();
    for (const profile of answer.profiles) {
      const local = this._local(profile.profile);
      if (isGood(profile)) {
        local.isGood = true;
        dropSignOut(local);
      } else if (local.isGood && profile.state !== 'unavailable') {
        local.isGood = false;
        if (local.busy !== 'sign-out') {
          over.add(profile.profile);
        }
      }
    }
    this._update();
    this._cards.filter((card) => over.has(card.profile)).forEach((card) => this.ended.emit(card));
  }

  /** Do what was clicked; nothing while something else that was clicked in the same card is not done. */
  private async _act(
    profile: string,
    busy: ICard['busy'],
    again: () => Promise<void>,
    work: (local: ILocal) => Promise<void>,
  ): Promise<void> {
    const local = this._local(profile);
    if (local.busy) {
      return;
    }
    Object.assign(local, { busy, failure: null, refusal: null, note: '' });
    try {
      const done = work(local);
      this._update();
      await done;
    } catch (error) {
      local.failure = { problem: problemOf(error), again };
    }
    local.busy = null;
    this._update();
    if (!local.failure) {
      this._acts += 1;
      await this.refresh();
    }
  }

  /** Say at once what an answer means; the list, asked next, is the truth. */
  private _amend(name: string, facts: Partial<IProfile>): void {
    this._profiles = this._profiles.map((profile) =>
      profile.profile === name ? { ...profile, ...facts } : profile,
    );
  }

  private _update(): void {
    if (this._isDisposed) {
      return;
    }
    this._cards = this._profiles.map((profile) => cardOf(profile, this._local(profile.profile)));
    this.changed.emit();
    this._announce();
    this._arm();
  }

  private _announce(): void {
    for (const card of this._cards) {
      const left = (endOf(card) ?? 0) - this.now();
      const local = this._local(card.profile);
      if (left > 0 && left <= this._notifyBefore && local.announced !== card.signed_in_at) {
        local.announced = card.signed_in_at;
        this.expiring.emit(card);
      }
    }
  }

  /** Look again when the next thing is due: the end of a login, its announcement, a confirmation, the end of a wait. */
  private _arm(): void {
    clearTimeout(this._timer);
    const now = this.now();
    const due = this._cards.flatMap((card) => {
      const end = endOf(card) ?? 0;
      return [end, end - this._notifyBefore, card.pending?.until ?? 0, card.confirm_by ?? 0];
    });
    const waits = due.map((time) => time + SLACK - now).filter((wait) => wait > 0);
    if (waits.length) {
      const wait = Math.min(...waits, DAY);
      this._timer = setTimeout(() => void this.refresh(), wait * 1000);
    }
  }

  private _profile(name: string): IProfile | undefined {
    return this._profiles.find((profile) => profile.profile === name);
  }

  private _local(name: string): ILocal {
    let local = this._locals.get(name);
    if (!local) {
      const nothing = { busy: null, failure: null, refusal: null, note: '', way: null };
      local = { ...nothing, isGood: false, announced: null };
      this._locals.set(name, local);
    }
    return local;
  }

  private readonly _api: Api;
  private readonly _openTab: IOptions['openTab'];
  private readonly _clock: () => number;
  private readonly _locals = new Map<string, ILocal>();
  private _cards: readonly ICard[] = [];
  private _profiles: readonly IProfile[] = [];
  private _config: IProfiles['config'] | null = null;
  private _problem: IProblem | null = null;
  private _defaultProfile = '';
  private _notifyBefore = 0;
  private _offset = 0;
  private _round: Promise<void> | null = null;
  private _isStale = false;
  private _isDisposed = false;
  private _acts = 0;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}

const ONCE_MORE: IProblem = {
  code: 'paste_once_more',
  message: 'The service wants to ask something first.',
  hint: 'Open the sign-in page once more.',
};
/** Seconds by which to be late rather than early, for clocks that differ a little. */
const SLACK = 1;
/** The longest wait: browsers fire at once what is set for more than 24 days. */
const DAY = 86_400;
