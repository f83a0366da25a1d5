import type { ITab } from './model';

/**
 * Open a blank tab; call it straight from the click, for browsers block what comes later.
 *
 * The tab never gets a handle on Jupyter: `opener` is cut before it leaves this origin. Asking for `noopener` instead
 * would leave us without a handle on the tab.
 *
 * @returns null if the browser blocked it.
 */
export function openTab(): ITab | null {
  const tab = window.open('about:blank', '_blank');
  if (!tab) {
    return null;
  }
  tab.opener = null;
  return {
    go: (url) => tab.location.replace(url),
    close: () => tab.close(),
  };
}
