/**
 * Notifications: a login is over, or nearly.
 */
import { Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ICard, Model } from './model';
import { endedText, expiringText } from './words';

/** Tell the person, once for each login; a notification goes when it is of no more use. */
export function notify(
  model: Model,
  trans: TranslationBundle,
  signIn: (profile: string) => void,
): void {
  const told = new Map<string, { id: string; login: number | null }>();

  const tell = ({ profile, signed_in_at: login }: ICard, message: string) => {
    Notification.dismiss(told.get(profile)?.id ?? '');
    const id = Notification.emit(message, 'warning', {
      autoClose: false,
      actions: [
        {
          label: trans.__('Sign in'),
          caption: trans.__('Sign in to %1', profile),
          displayType: 'accent',
          callback: () => signIn(profile),
        },
      ],
    });
    told.set(profile, { id, login });
  };

  model.ended.connect((_, card) => tell(card, endedText(card, trans)));
  model.expiring.connect((_, card) => tell(card, expiringText(card, model.now(), trans)));
  model.changed.connect(() => {
    for (const card of model.cards) {
      const { id, login } = told.get(card.profile) ?? {};
      if (id && card.signed_in_at !== login) {
        Notification.dismiss(id);
        told.delete(card.profile);
      }
    }
  });
}
