/**
 * The server's list of profiles, as it was last had. Never touches the DOM.
 */
import type { Api, IProblem, IProfile, IProfiles } from './api';
import { problemOf } from './card';

/** Who is told of a new list, and that none could be had. */
export interface INews {
  list: () => void;
  problem: () => void;
}

export class List {
  /** @param clock - Seconds since the epoch. */
  constructor(api: Api, clock: () => number, news: INews) {
    this._api = api;
    this._clock = clock;
    this._news = news;
  }

  get profiles(): readonly IProfile[] {
    return this._profiles;
  }

  get config(): IProfiles['config'] | null {
    return this._config;
  }

  /** Why it could not be had. */
  get problem(): IProblem | null {
    return this._problem;
  }

  /** The time by the server's clock. */
  now(): number {
    return this._clock() + this._offset;
  }

  profile(name: string): IProfile | undefined {
    return this._profiles.find((profile) => profile.profile === name);
  }

  /** Say at once what an answer means; the list, asked next, is the truth. */
  amend(name: string, facts: Partial<IProfile>): void {
    this._profiles = this._profiles.map((profile) =>
      profile.profile === name ? { ...profile, ...facts } : profile,
    );
  }

  /** Something was done: a list from before it is of no use. */
  outdate(): void {
    this._edition += 1;
  }

  /** Ask the server again. Calls while a request is under way share one more. Never rejects. */
  refresh(): Promise<void> {
    this._isStale = true;
    this._round ??= this._ask();
    return this._round;
  }

  dispose(): void {
    this._isDisposed = true;
  }

  private async _ask(): Promise<void> {
    while (this._isStale && !this._isDisposed) {
      this._isStale = false;
      const edition = this._edition;
      try {
        const answer = await this._api.profiles();
        if (edition === this._edition) {
          this._take(answer);
        }
      } catch (error) {
        this._problem = problemOf(error);
        this._news.problem();
      }
    }
    this._round = null;
  }

  private _take({ now, profiles, config }: IProfiles): void {
    this._offset = now - this._clock();
    this._profiles = profiles;
    this._config = config;
    this._problem = null;
    this._news.list();
  }

  private readonly _api: Api;
  private readonly _clock: () => number;
  private readonly _news: INews;
  private _profiles: readonly IProfile[] = [];
  private _config: IProfiles['config'] | null = null;
  private _problem: IProblem | null = null;
  private _offset = 0;
  private _round: Promise<void> | null = null;
  private _isStale = false;
  private _isDisposed = false;
  private _edition = 0;
}
