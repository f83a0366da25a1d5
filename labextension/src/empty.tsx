/**
 * What to do while there is no profile.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IProfiles } from './api';
import { Button, Copy } from './parts';
import { template } from './words';

interface IEmptyProps {
  config: IProfiles['config'];
  trans: TranslationBundle;
  lookAgain: () => void;
}

export function Empty({ config, trans, lookAgain }: IEmptyProps) {
  // In the order in which the server gives them.
  const uses = [trans.__('After a sign-in:'), trans.__('After a sign-out:')];
  return (
    <section className="jp-NativeAuth-card" aria-label={trans.__('No profile yet')}>
      <h3>{trans.__('No profile yet')}</h3>
      <p>{trans.__('A profile says which service you sign in to, and which API you call.')}</p>
      <ol>
        <li>
          <p>
            {trans.__(
              'At the service, register a native (public) client with these redirect URIs; the port may vary.',
            )}
          </p>
          {config.redirect_uris.map((uri, index) => (
            <Copy
              key={uri}
              caption={uses[index] ?? ''}
              text={uri}
              name={trans.__('Copy %1', uri)}
              trans={trans}
            />
          ))}
        </li>
        <li>
          <p>{trans.__('Describe it in a file, with what the service has told you.')}</p>
          <Copy
            caption={trans.__('The file:')}
            text={config.file}
            name={trans.__('Copy the path of the file')}
            trans={trans}
          />
          <Copy
            caption={trans.__('Its lines:')}
            text={template(trans)}
            name={trans.__('Copy the lines of the file')}
            trans={trans}
          />
        </li>
      </ol>
      <div className="jp-NativeAuth-buttons">
        <Button label={trans.__('Try again')} isMain onClick={lookAgain} />
      </div>
    </section>
  );
}
