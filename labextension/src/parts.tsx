/**
 * The small pieces that the panel is made of.
 */
import { Clipboard } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useRef, useState } from 'react';

import type { IProblem } from './api';
import { explain } from './words';

interface IButtonProps {
  label: string;
  /** What a screen reader says, if the label alone does not tell; the label must be part of it. */
  name?: string;
  title?: string;
  isMain?: boolean;
  isOff?: boolean;
  onClick: () => void;
}

/** A button. One that is off keeps the focus and says why it is, which `disabled` would prevent. */
export function Button({ label, name, title, isMain, isOff, onClick }: IButtonProps) {
  return (
    <button
      type="button"
      className={`jp-NativeAuth-button ${isMain ? 'jp-mod-main' : ''}`}
      aria-label={name}
      aria-disabled={isOff || undefined}
      title={title}
      onClick={isOff ? undefined : onClick}
    >
      {label}
    </button>
  );
}

/** A link to a page of the server or the service, in a tab of its own that knows nothing of Jupyter. */
export function Link({ href, label }: { href: string; label: string }) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {label}
    </a>
  );
}

interface IProblemProps {
  problem: IProblem;
  trans: TranslationBundle;
  children?: React.ReactNode;
}

/** What is wrong and what to do, and buttons to do it. */
export function Problem({ problem, trans, children }: IProblemProps) {
  const { message, hint } = explain(problem, trans);
  return (
    <div className="jp-NativeAuth-problem">
      <div role="alert">
        <p>{message}</p>
        {hint && <p>{hint}</p>}
      </div>
      <div className="jp-NativeAuth-buttons">{children}</div>
    </div>
  );
}

interface IPasteProps {
  label: string;
  /** What was wrong with what was pasted before. */
  refusal: IProblem | null;
  isOff: boolean;
  trans: TranslationBundle;
  onPaste: (address: string) => void;
}

/** A field for an address with a code in it: it is emptied at once, kept by nobody, and no spell checker sees it. */
export function Paste({ label, refusal, isOff, trans, onPaste }: IPasteProps) {
  const field = useRef<HTMLInputElement>(null);
  const words = refusal && explain(refusal, trans);
  return (
    <form
      className="jp-NativeAuth-paste"
      autoComplete="off"
      onSubmit={(event) => {
        event.preventDefault();
        const address = field.current?.value ?? '';
        if (field.current && !isOff) {
          field.current.value = '';
          onPaste(address);
        }
      }}
    >
      <label>
        {label}
        <input
          ref={field}
          type="text"
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          data-jp-suppress-context-menu
        />
      </label>
      {words && (
        <p role="alert">
          {words.message} {words.hint}
        </p>
      )}
      <button type="submit" className="jp-NativeAuth-button" aria-disabled={isOff || undefined}>
        {trans.__('Finish the sign-in')}
      </button>
      <p>{trans.__('Paste only an address from your own browser, and send it to nobody.')}</p>
    </form>
  );
}

interface ICopyProps {
  caption: string;
  text: string;
  /** What is copied, in the name of the button, such as "Copy the lines". */
  name: string;
  trans: TranslationBundle;
}

/** Text to copy, below its caption and the button. */
export function Copy({ caption, text, name, trans }: ICopyProps) {
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const timer = isCopied ? setTimeout(() => setCopied(false), 3000) : undefined;
    return () => clearTimeout(timer);
  }, [isCopied]);
  return (
    <div className="jp-NativeAuth-copy">
      <p>{caption}</p>
      <Button
        label={isCopied ? trans.__('Copied') : trans.__('Copy')}
        name={name}
        onClick={() => {
          Clipboard.copyToSystem(text);
          setCopied(true);
        }}
      />
      <span className="jp-NativeAuth-unseen" role="status">
        {isCopied ? trans.__('Copied') : ''}
      </span>
      <pre>{breakable(text)}</pre>
    </div>
  );
}

/** Text whose addresses break rather after a dot or a slash than anywhere. */
export function breakable(text: string): React.ReactNode[] {
  return text.split(/(?<=[./@])(?=\w)/).flatMap((part, index) => [<wbr key={index} />, part]);
}
