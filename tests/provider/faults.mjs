// Switches that make an endpoint fail, in one place for the provider and the API.
//
// A fault is {endpoint, when: "before" | "after", action, times, ...}; "after" means that the provider has done its work
// (a refresh token is exchanged and spent) and only the answer is lost or replaced.
//   answer  {status, headers, body}  this answer instead
//   drop    {}                       the connection is closed without a word
//   hold    {}                       wait for release(), then go on as if nothing had happened
//   delay   {seconds}                wait, then go on

export class Faults {
  constructor(journal) {
    this.journal = journal;
    this.clear();
  }

  clear() {
    this.planned = [];
    this.release(null);          // whoever still waits belongs to the test before
    this.holding = {};
  }

  add({ endpoint, when = 'before', action, times = 1, ...rest }) {
    if (!['before', 'after'].includes(when) || !['answer', 'drop', 'hold', 'delay'].includes(action)) {
      throw new Error(`no such fault: ${when} ${action}`);
    }
    this.planned.push({ endpoint, when, action, times, ...rest });
  }

  release(answer = undefined) {
    this.open?.(answer);
    this.gate = new Promise((open) => { this.open = open; });
  }

  /** The answer that a fault gives instead of ours; undefined to go on; null when the connection is to be dropped. */
  async strike(endpoint, when) {
    const fault = this.planned.find((one) => one.endpoint === endpoint && one.when === when && one.times > 0);
    if (!fault) return undefined;
    fault.times -= 1;
    switch (fault.action) {
      case 'hold': {
        this.holding[endpoint] = (this.holding[endpoint] ?? 0) + 1;
        this.journal.changed.emit('changed');
        const answer = await this.gate;
        this.holding[endpoint] = Math.max(0, (this.holding[endpoint] ?? 0) - 1);
        this.journal.changed.emit('changed');
        return answer;
      }
      case 'delay':
        await new Promise((resolve) => { setTimeout(resolve, fault.seconds * 1000); });
        return undefined;
      case 'drop':
        return null;
      default:
        return { status: fault.status ?? 200, headers: fault.headers ?? {}, body: fault.body ?? '' };
    }
  }
}
