/**
 * When to look again: when something has happened. A panel that a person can see asks once a minute besides.
 */
import type { ServiceManager } from '@jupyterlab/services';

import { EVENT_SCHEMA } from './api';
import type { Model } from './model';

/** Seconds between two looks of a panel that nothing happens to. */
const IDLE = 60;
/** Seconds to wait before the server that did not answer is asked again; doubled each time, up to IDLE. */
const RETRY = 2;

/**
 * Keep *model* up to date from now on.
 *
 * @param isShown - Whether a person can see the panel, if they can see the page.
 */
export function keepFresh(
  model: Model,
  services: ServiceManager.IManager,
  isShown: () => boolean,
): void {
  const refresh = () => void model.refresh();
  const lookIf = (wanted: () => boolean) => () => {
    if (document.visibilityState === 'visible' && wanted()) {
      refresh();
    }
  };

  // An event is only a nudge, and anybody who is signed in to Jupyter may send one: what it says does not matter.
  services.events.stream.connect((_, event) => {
    if (event.schema_id === EVENT_SCHEMA) {
      refresh();
    }
  });
  services.connectionFailure.connect(refresh);
  window.addEventListener('online', refresh);
  document.addEventListener(
    'visibilitychange',
    lookIf(() => true),
  );
  setInterval(lookIf(isShown), IDLE * 1000);

  let wait = RETRY;
  let timer: ReturnType<typeof setTimeout> | undefined;
  model.changed.connect(() => {
    if (!model.problem) {
      clearTimeout(timer);
      [timer, wait] = [undefined, RETRY];
    } else if (timer === undefined) {
      timer = setTimeout(() => {
        timer = undefined;
        lookIf(() => model.problem !== null)();
      }, wait * 1000);
      wait = Math.min(2 * wait, IDLE);
    }
  });
  refresh();
}
