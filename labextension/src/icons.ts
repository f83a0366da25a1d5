/**
 * How it stands, as a picture: a person with a mark beside the head, so that it can be told without colours.
 */
import { LabIcon } from '@jupyterlab/ui-components';

import { type ICard, isGood, type Mood, needsAttention } from './card';

/* Lab's own icon of a user, with room for a mark. */
const HEAD = '<circle cx="10" cy="7" r="4"/>';
const SHOULDERS = '<path d="M3 21a7 7 0 0 1 14 0z"/>';

const FILLED = `<g class="jp-icon3 jp-icon-selectable" fill="#616161">${HEAD}${SHOULDERS}</g>`;
/* The class recolours whatever has a fill, so "none" stays one element further out. */
const HOLLOW =
  '<g fill="none"><g class="jp-icon3 jp-icon-selectable" stroke="#616161" stroke-width="2" stroke-linejoin="round">' +
  `${HEAD}${SHOULDERS}</g></g>`;
const CHECK =
  '<g fill="none"><path class="jp-icon3 jp-icon-selectable" stroke="#616161" stroke-width="2.5" ' +
  'stroke-linecap="round" stroke-linejoin="round" d="M16 6.5l2.5 2.5 4-5.5"/></g>';
const EXCLAMATION =
  '<g class="jp-icon-warn0" fill="#e65100"><rect x="18" y="1" width="3" height="8" rx="1.5"/>' +
  '<circle cx="19.5" cy="12" r="1.8"/></g>';

function icon(mood: Mood, ...parts: string[]): LabIcon {
  return new LabIcon({
    name: `jupyter-nativeauth:${mood}`,
    svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">${parts.join('')}</svg>`,
  });
}

export const icons: Record<Mood, LabIcon> = {
  out: icon('out', HOLLOW),
  in: icon('in', FILLED, CHECK),
  attention: icon('attention', HOLLOW, EXCLAMATION),
};

export function iconOf(card: ICard): LabIcon {
  return needsAttention(card) ? icons.attention : isGood(card) ? icons.in : icons.out;
}
