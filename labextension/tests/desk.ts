/**
 * A page with a model, the browser's tabs and the clock, at a server.
 */
import { afterEach, beforeEach, vi } from 'vitest';

import { Api, type IProfile } from '../src/api';
import { type ICard, type ITab, Model } from '../src/model';
import { SAMPLES, Server } from './wire';

/** Tests of this file tell the time themselves; it is the samples' time at first. */
export function ownTime(): void {
  beforeEach(() => {
    vi.useFakeTimers({ now: SAMPLES.profiles.now * 1000 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

/** Let so many seconds pass. */
export const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

export class Desk {
  constructor(...profiles: IProfile[]) {
    this.server = new Server(profiles);
    this.model = new Model({ api: new Api(this.server.request), openTab: () => this._open() });
    this.model.ended.connect((_, card) => this.ended.push(card.profile));
    this.model.expiring.connect((_, card) => this.expiring.push(card.profile));
  }

  static async open(...profiles: IProfile[]): Promise<Desk> {
    const desk = new Desk(...profiles);
    await desk.model.refresh();
    desk.server.requests.length = 0;
    return desk;
  }

  readonly server: Server;
  readonly model: Model;
  readonly ended: string[] = [];
  readonly expiring: string[] = [];
  /** What became of each tab: `blank`, `closed`, or where it went. */
  readonly tabs: string[] = [];
  blocksPopups = false;

  card(name = 'acme'): ICard {
    return this.model.cards.find((card) => card.profile === name)!;
  }

  private _open(): ITab | null {
    if (this.blocksPopups) {
      return null;
    }
    const tab = this.tabs.push('blank') - 1;
    return {
      go: (url) => (this.tabs[tab] = url),
      close: () => (this.tabs[tab] = 'closed'),
    };
  }
}
