/**
 * What can be done from the palette and the menus, and by other extensions.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { DisposableSet } from '@lumino/disposable';

import { type ICard, isGood, isLent } from './card';
import type { Model } from './model';
import { insert, snippet } from './notebook';

export const SHOW = 'nativeauth:show';
export const SIGN_IN = 'nativeauth:sign-in';
export const SIGN_OUT = 'nativeauth:sign-out';
export const INSERT_CODE = 'nativeauth:insert-code';

/** Those that mean a profile; without `profile`, the default one. */
const OF_PROFILE = [SIGN_IN, SIGN_OUT, INSERT_CODE];

export interface ICommandOptions {
  app: JupyterFrontEnd;
  model: Model;
  trans: TranslationBundle;
  palette: ICommandPalette | null;
  notebooks: INotebookTracker | null;
  /** Shows the panel. */
  show: () => void;
}

export function addCommands(options: ICommandOptions): void {
  const { app, model, trans, palette, notebooks, show } = options;
  const { commands, shell } = app;
  type Args = ReadonlyPartialJSONObject;

  const find = ({ profile }: Args): ICard | null =>
    profile ? (model.cards.find((card) => card.profile === profile) ?? null) : model.current;

  /** In words, with or without a profile to name. */
  const label = (named: (profile: string) => string, bare: string) => (args: Args) => {
    const card = find(args);
    return card ? named(card.profile) : bare;
  };

  const describedBy = {
    args: {
      type: 'object',
      properties: {
        profile: {
          type: 'string',
          description: trans.__('The profile; if there is none, the default one.'),
        },
      },
    },
  };

  /** Acts on the profile before anything else, for a tab must open within the click; then the panel shows how it goes. */
  const act = (work: (profile: string) => Promise<void>) => async (args: Args) => {
    const card = find(args);
    const done = card ? work(card.profile) : model.refresh();
    show();
    await done;
  };

  commands.addCommand(SHOW, {
    label: trans.__('Show the sign-in panel'),
    caption: trans.__('Show who is signed in to the services whose APIs your notebooks call'),
    describedBy: { args: { type: 'object', properties: {} } },
    execute: show,
  });
  commands.addCommand(SIGN_IN, {
    label: label((profile) => trans.__('Sign in to %1', profile), trans.__('Sign in')),
    describedBy,
    isEnabled: (args) => {
      const card = find(args);
      return !card || !(isGood(card) || isLent(card) || card.pending || card.busy);
    },
    execute: act((profile) => model.signIn(profile)),
  });
  commands.addCommand(SIGN_OUT, {
    label: label((profile) => trans.__('Sign out of %1', profile), trans.__('Sign out')),
    describedBy,
    isEnabled: (args) => {
      const card = find(args);
      return !!card && isGood(card) && !isLent(card) && !card.busy;
    },
    execute: act((profile) => model.signOut(profile)),
  });
  commands.addCommand(INSERT_CODE, {
    label: label((profile) => trans.__('Insert code for %1', profile), trans.__('Insert code')),
    caption: trans.__('Insert the lines that give a notebook a session that is signed in'),
    describedBy,
    isEnabled: (args) => !!find(args) && !!notebooks?.currentWidget,
    execute: async (args) => {
      const card = find(args);
      const notebook = notebooks?.currentWidget;
      if (card && notebook) {
        shell.activateById(notebook.id); // first, for what is hidden cannot take the focus
        await insert(notebook, snippet(card));
      }
    },
  });

  const category = trans.__('Sign-in');
  palette?.addItem({ command: SHOW, category });
  OF_PROFILE.forEach((command) => palette?.addItem({ command, category }));

  // Where there are several profiles, each has items of its own beside those of the default one.
  let listed = '';
  let items = new DisposableSet();
  model.changed.connect(() => {
    const names = model.cards.map((card) => card.profile);
    const others = names.filter((name) => name !== model.current?.profile);
    if (palette && listed !== others.join()) {
      listed = others.join();
      items.dispose();
      items = new DisposableSet();
      for (const profile of others) {
        OF_PROFILE.forEach((command) =>
          items.add(palette.addItem({ command, category, args: { profile } })),
        );
      }
    }
    OF_PROFILE.forEach((command) => commands.notifyCommandChanged(command));
  });
}
