/**
 * What is signed in, and what is going on: state and signals. Never touches the DOM.
 *
 * The server's list (`list.ts`) is the truth; beside it stands what was clicked here and how that went.
 */
import { Signal } from '@lumino/signaling';

import type { Api, IProblem, IProfiles, ISignIn } from './api';
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
import { List } from './list';

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
    const news = { list: () => this._take(), problem: () => this._update() };
    this._list = new List(api, clock, news);
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
    return this._list.config !== null;
  }

  get config(): IProfiles['config'] | null {
    return this._list.config;
  }

  /** Why the list could not be had. */
  get problem(): IProblem | null {
    return this._list.problem;
  }

  get mood(): Mood {
    if (this.problem || this._cards.some(needsAttention)) {
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
    return this._list.now();
  }

  /** Ask the server again. Calls while a request is under way share one more. Never rejects. */
  refresh(): Promise<void> {
    return this._list.refresh();
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
      this._list.amend(profile, { pending, failed: null });
    });
  }

  /** End the pending sign-in with the address that its browser has ended on. Nothing here keeps it. */
  paste(profile: string, address: string): Promise<void> {
    const again = () => this.refresh();
    return this._act(profile, 'paste', again, async (local) => {
      const id = this._list.profile(profile)?.pending?.id;
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
        const pending = this._list.profile(profile)?.pending;
        if (pending) {
          await this._api.cancel(pending.id);
          this._list.amend(profile, { pending: null });
        }
      },
    );
  }

  /** Let the person at the device confirm that it is them. */
  confirm(profile: string): Promise<void> {
    const again = () => this.confirm(profile);
    return this._act(profile, 'confirm', again, async () => {
      this._list.amend(profile, await this._api.confirm(profile));
    });
  }

  /** Sign out everywhere on this machine. To be called in the click, as `signIn`. */
  signOut(profile: string): Promise<void> {
    const again = () => this.signOut(profile);
    return this._act(profile, 'sign-out', again, async (local) => {
      const tab = this._list.profile(profile)?.ends_session ? this._openTab() : null;
      const report = await lead(tab, () => this._api.logout(profile));
      local.note = report.message;
      local.way = report.url && !tab ? { url: report.url, pending: null } : null;
      if (report.local) {
        local.isGood = false;
        this._list.amend(profile, { state: 'signed_out', message: '', hint: '', pending: null });
      }
    });
  }

  /** Forget the problem, and the note of a sign-out. */
  dismiss(profile: string): Promise<void> {
    const failed = this._list.profile(profile)?.failed;
    const again = () => this.dismiss(profile);
    return this._act(profile, null, again, async (local) => {
      dropSignOut(local);
      this._list.amend(profile, { failed: null });
      if (failed) {
        await this._api.cancel(failed.id);
      }
    });
  }

  /** Do again what has failed. To be called in the click, as `signIn`. */
  retry(profile: string): Promise<void> {
    // A sign-in that failed while somebody is signed in was to switch the account.
    const again = () =>
      this.signIn(profile, { switch: this._list.profile(profile)?.state === 'signed_in' });
    return (this._local(profile).failure?.again ?? again)();
  }

  dispose(): void {
    this._isDisposed = true;
    this._list.dispose();
    clearTimeout(this._timer);
    Signal.clearData(this);
  }

  private _take(): void {
    const over = new Set<string>();
    for (const profile of this._list.profiles) {
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
      this._list.outdate();
      await this.refresh();
    }
  }

  private _update(): void {
    if (this._isDisposed) {
      return;
    }
    this._cards = this._list.profiles.map((profile) =>
      cardOf(profile, this._local(profile.profile)),
    );
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
  private readonly _list: List;
  private readonly _locals = new Map<string, ILocal>();
  private _cards: readonly ICard[] = [];
  private _defaultProfile = '';
  private _notifyBefore = 0;
  private _isDisposed = false;
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
