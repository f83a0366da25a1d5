/**
 * The sidebar panel: a card for each profile.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import { type ISignal, Signal } from '@lumino/signaling';
import React from 'react';

import { useNow } from './clock';
import { Empty } from './empty';
import { icons } from './icons';
import type { Model } from './model';
import { Button, Problem } from './parts';
import { Card, type ICardProps } from './profile';
import { moodCaption } from './words';

export const PANEL = 'jp-nativeauth-panel';

export interface IPanelOptions {
  model: Model;
  trans: TranslationBundle;
  /** What *Insert code* does; null as long as it cannot. */
  insertCode: () => ICardProps['insertCode'];
}

export class SignInPanel extends ReactWidget {
  constructor(private readonly _options: IPanelOptions) {
    super();
    const { model, trans } = _options;
    this.id = PANEL;
    this.addClass('jp-NativeAuth-panel');
    this.node.tabIndex = -1;
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Sign-in'));
    this._onChanged();
    model.changed.connect(this._onChanged, this);
  }

  /** Emitted when a person gets to see the panel. */
  get shown(): ISignal<this, void> {
    return this._shown;
  }

  protected override render(): React.ReactElement {
    const { model, trans, insertCode } = this._options;
    return <Cards model={model} trans={trans} insertCode={insertCode()} />;
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._shown.emit();
  }

  private _onChanged(): void {
    const { model, trans } = this._options;
    this.title.icon = icons[model.mood];
    // Notebook makes a menu entry of the first caption, and keeps it.
    const isKnown = model.isLoaded || model.problem !== null;
    this.title.caption = isKnown ? moodCaption(model.mood, trans) : trans.__('Sign-in');
    this.update();
  }

  private readonly _shown = new Signal<this, void>(this);
}

function Cards({ model, trans, insertCode }: Pick<ICardProps, 'model' | 'trans' | 'insertCode'>) {
  const { cards, config, problem } = model;
  const now = useNow(model, cards.some((card) => card.pending) ? 1 : 15);
  const lookAgain = () => void model.refresh();
  return (
    <div className="jp-NativeAuth-body">
      <h2>{trans.__('Sign-in')}</h2>
      {problem && (
        <Problem problem={problem} trans={trans}>
          <Button label={trans.__('Try again')} isMain onClick={lookAgain} />
        </Problem>
      )}
      {!model.isLoaded && !problem && <p>{trans.__('Looking who is signed in')}</p>}
      {cards.map((card) => (
        <Card key={card.profile} {...{ card, model, now, trans, insertCode }} />
      ))}
      {config && !cards.length && !problem && <Empty {...{ config, trans, lookAgain }} />}
    </div>
  );
}
