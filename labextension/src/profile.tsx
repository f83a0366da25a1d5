/**
 * The card of a profile: how it stands, and what can be done.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useLayoutEffect, useRef } from 'react';

import { type ICard, isGood, isLent, waits } from './card';
import { iconOf } from './icons';
import type { Model } from './model';
import { breakable, Button, Link, Paste, Problem } from './parts';
import { accessTokenLine, countdown, keyLine, loginLine, stateLine } from './words';

export interface ICardProps {
  card: ICard;
  model: Model;
  /** The server's time, in seconds. */
  now: number;
  trans: TranslationBundle;
  /** Puts the lines for this profile into the notebook; null if none is open. */
  insertCode: ((profile: string) => void) | null;
}

export function Card(props: ICardProps) {
  const { card, model, now, trans } = props;
  const section = useRef<HTMLElement>(null);
  useKeptFocus(section);
  const icon = iconOf(card);
  return (
    <section ref={section} className="jp-NativeAuth-card" aria-label={card.profile}>
      <h3>
        <span>{card.profile}</span>
        {card.default && model.cards.length > 1 && (
          <span className="jp-NativeAuth-badge">{trans.__('default')}</span>
        )}
      </h3>
      <div className="jp-NativeAuth-state">
        <icon.react tag="span" elementSize="large" />
        <p role="status" aria-live="polite">
          {stateLine(card, trans)}
        </p>
      </div>
      {card.state === 'unavailable' && card.hint && <p>{card.hint}</p>}
      {card.note && <p>{card.note}</p>}
      <CardProblem {...props} />
      <WayOn {...props} />
      <WayBack {...props} />
      <div className="jp-NativeAuth-buttons">
        <Actions {...props} />
        {card.pending && (
          <span role="timer" aria-live="off">
            {trans.__('%1 left', countdown(card.pending.until - now))}
          </span>
        )}
      </div>
      <Facts {...props} />
    </section>
  );
}

/** Where the browser goes on, if it has not by itself. */
function WayOn({ card, trans }: ICardProps) {
  if (!card.link) {
    return card.pending && <p>{trans.__('Go on where the sign-in was started.')}</p>;
  }
  return (
    <p>
      {card.linkIsForSignOut
        ? trans.__('One more step:')
        : trans.__('Go on in the tab that has opened. If there is none:')}{' '}
      <Link
        href={card.link}
        label={
          card.linkIsForSignOut
            ? trans.__('End the session at the service')
            : trans.__('Open the sign-in page')
        }
      />
    </p>
  );
}

/** For a tab that cannot come back: a place to paste the address that it has ended on. */
function WayBack({ card, model, trans }: ICardProps) {
  if (!card.pending) {
    return null;
  }
  const { profile } = card;
  const field = (
    <Paste
      label={trans.__(
        'If the tab ends on a page that does not open, copy the whole address of that page, and paste it here:',
      )}
      refusal={card.refusal}
      isOff={card.busy !== null}
      trans={trans}
      onPaste={(address) => void model.paste(profile, address)}
    />
  );
  if (card.pending.paste) {
    return field;
  }
  return (
    <details>
      <summary>{trans.__('Does the page not open?')}</summary>
      {field}
      <p>{trans.__('If not even the page of the service has opened:')}</p>
      <Button
        label={trans.__('Start from here')}
        name={trans.__('Start from here: sign in to %1', profile)}
        isOff={card.busy !== null}
        onClick={() => void model.signIn(profile, { paste: true, switch: isGood(card) })}
      />
    </details>
  );
}

/** Problems of the way back, which one can do without. */
const NO_WAY_BACK = ['no_redirect_uri', 'port_not_allowed'];

function CardProblem({ card, model, trans }: ICardProps) {
  if (!card.problem) {
    return null;
  }
  const isOff = card.busy !== null;
  return (
    <Problem problem={card.problem} trans={trans}>
      <Button
        label={trans.__('Try again')}
        isMain
        isOff={isOff}
        onClick={() => void model.retry(card.profile)}
      />
      {NO_WAY_BACK.includes(card.problem.code) && (
        <Button
          label={trans.__('Paste the address back')}
          isOff={isOff}
          onClick={() => void model.signIn(card.profile, { paste: true, switch: isGood(card) })}
        />
      )}
      <Button
        label={trans.__('Dismiss')}
        isOff={isOff}
        onClick={() => void model.dismiss(card.profile)}
      />
    </Problem>
  );
}

/** What there is to know, by its name; what there is not is left out. */
function Facts({ card, now, trans }: ICardProps) {
  const facts: [name: string, ...lines: string[]][] = [
    [trans.__('E-mail'), card.email],
    [trans.__('Service'), card.service, card.issuer],
    [trans.__('Access token'), accessTokenLine(card, now, trans)],
    [trans.__('Login'), loginLine(card, now, trans)],
    [trans.__('Scopes'), card.scopes.join(' ')],
    [trans.__('API'), ...card.api],
    [trans.__('Key'), keyLine(card, trans)],
  ];
  return (
    <dl>
      {facts
        .filter(([, first]) => first)
        .map(([name, ...lines]) => (
          <div key={name}>
            <dt>{name}</dt>
            {lines.map((line) => (
              <dd key={line}>{breakable(line)}</dd>
            ))}
          </div>
        ))}
    </dl>
  );
}

function Actions({ card, model, trans, insertCode }: ICardProps) {
  const { profile } = card;
  const isOff = card.busy !== null;
  if (card.pending) {
    return (
      <Button
        key="cancel"
        label={trans.__('Cancel')}
        name={trans.__('Cancel signing in to %1', profile)}
        isOff={isOff}
        onClick={() => void model.cancel(profile)}
      />
    );
  }
  return (
    <>
      {!isGood(card) && !isLent(card) && (
        <Button
          key="sign-in"
          label={trans.__('Sign in')}
          name={trans.__('Sign in to %1', profile)}
          isMain={!card.problem}
          isOff={isOff}
          onClick={() => void model.signIn(profile)}
        />
      )}
      {card.state === 'unavailable' && (
        <Button
          key="again"
          label={trans.__('Try again')}
          isOff={isOff}
          onClick={() => void model.refresh()}
        />
      )}
      <Button
        key="insert"
        label={trans.__('Insert code')}
        name={trans.__('Insert code for %1', profile)}
        title={insertCode ? undefined : trans.__('Open a notebook first.')}
        isOff={!insertCode}
        onClick={() => insertCode?.(profile)}
      />
      {waits(card) && (
        <Button
          key="confirm"
          label={trans.__('Confirm')}
          name={trans.__('Confirm that it is you, for %1', profile)}
          isMain={!card.problem}
          isOff={isOff}
          onClick={() => void model.confirm(profile)}
        />
      )}
      {isGood(card) && !isLent(card) && (
        <>
          <Button
            key="switch"
            label={trans.__('Switch account')}
            name={trans.__('Switch account of %1', profile)}
            isOff={isOff}
            onClick={() => void model.signIn(profile, { switch: true })}
          />
          <Button
            key="sign-out"
            label={trans.__('Sign out')}
            name={trans.__('Sign out of %1', profile)}
            isOff={isOff}
            onClick={() => void model.signOut(profile)}
          />
        </>
      )}
    </>
  );
}

/** When the button that had the focus goes, the card's first one gets it: else the keyboard starts anew at the top. */
function useKeptFocus(section: React.RefObject<HTMLElement>): void {
  const focused = useRef<Element | null>(null);
  useLayoutEffect(() => {
    const note = () => {
      focused.current = section.current?.contains(document.activeElement)
        ? document.activeElement
        : null;
    };
    document.addEventListener('focusin', note);
    return () => document.removeEventListener('focusin', note);
  }, [section]);
  useLayoutEffect(() => {
    if (focused.current && !focused.current.isConnected) {
      focused.current = null;
      const isLost = document.activeElement === null || document.activeElement === document.body;
      const first = section.current?.querySelector<HTMLElement>('button');
      if (isLost && first) {
        first.focus();
      }
    }
  });
}
