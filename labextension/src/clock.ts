import { useEffect, useReducer } from 'react';

import type { Model } from './model';

/** The server's time in seconds; the component is drawn anew every *seconds*. Asks nobody. */
export function useNow(model: Model, seconds: number): number {
  const [, tick] = useReducer((count: number) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(tick, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
  return model.now();
}
