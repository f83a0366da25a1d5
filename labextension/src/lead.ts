/**
 * A tab that opens in the click and is sent on later. Never touches the DOM.
 */

/** A browser tab, opened empty by a click. */
export interface ITab {
  go(url: string): void;
  close(): void;
}

/** Send a tab on as soon as it is known where to; one that is not needed is closed. */
export async function lead<T extends { url: string | null }>(
  tab: ITab | null,
  ask: () => Promise<T>,
): Promise<T> {
  try {
    const answer = await ask();
    if (answer.url) {
      tab?.go(answer.url);
    } else {
      tab?.close();
    }
    return answer;
  } catch (error) {
    tab?.close();
    throw error;
  }
}
