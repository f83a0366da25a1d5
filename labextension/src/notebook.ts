/**
 * *Insert code*: the lines, and the notebook that they go to.
 */
import type { NotebookPanel } from '@jupyterlab/notebook';

import type { IProfile } from './api';

/** The lines that give a notebook a session of *profile*. */
export function snippet(profile: IProfile): string {
  const name = profile.default ? '' : JSON.stringify(profile.profile);
  const lines = ['from jupyter_nativeauth import get_session', '', `api = get_session(${name})`];
  // Without an API origin the session has no base_url, and takes whole addresses only.
  return [...lines, ...(profile.api.length ? ['api.get("/")'] : [])].join('\n');
}

/** Put *source* into a code cell of *panel*: the active one if that is empty, else a new one below it. */
export async function insert(panel: NotebookPanel, source: string): Promise<void> {
  await panel.context.ready; // the cells come later than the tab
  const notebook = panel.content;
  const active = notebook.activeCell?.model;
  if (active?.type === 'code' && !active.sharedModel.getSource().trim()) {
    active.sharedModel.setSource(source);
  } else {
    const index = notebook.activeCell ? notebook.activeCellIndex + 1 : 0;
    const cell = { cell_type: 'code', source, metadata: { trusted: true } };
    panel.model?.sharedModel.insertCell(index, cell);
    notebook.activeCellIndex = index;
  }
  notebook.deselectAll();
  await notebook.scrollToItem(notebook.activeCellIndex);
  await notebook.activeCell?.ready;
  // A little later, for a notebook that has just come to the front puts the focus on its cell first.
  requestAnimationFrame(() => notebook.activeCell?.editor?.focus());
}
