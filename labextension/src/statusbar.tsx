/**
 * The status bar item: who is signed in, and for how long.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { useNow } from './clock';
import { iconOf, icons } from './icons';
import type { Model } from './model';
import { statusText, statusTitle } from './words';

export interface IStatusOptions {
  model: Model;
  trans: TranslationBundle;
  onClick: () => void;
}

export class StatusItem extends ReactWidget {
  constructor(private readonly _options: IStatusOptions) {
    super();
    this.addClass('jp-NativeAuth-status');
    this.addClass('jp-mod-highlighted');
    _options.model.changed.connect(this.update, this);
  }

  protected override render(): React.ReactElement {
    return <Status {...this._options} />;
  }
}

function Status({ model, trans, onClick }: IStatusOptions) {
  const now = useNow(model, 15);
  const card = model.current;
  const icon = card ? iconOf(card) : icons[model.mood];
  return (
    <button
      type="button"
      className="jp-StatusBar-TextItem"
      title={statusTitle(card, now, trans)}
      onClick={onClick}
    >
      <icon.react tag="span" elementSize="normal" />
      <span>{statusText(card, now, trans)}</span>
    </button>
  );
}
