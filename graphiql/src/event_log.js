// The newest events of a stream, how many there were, and how many came in a second. Bounded.

export const KEPT = 100; // events
export const KEPT_SIZE = 4 * 1024 * 1024; // characters of their JSON; the newest event is kept in any case
export const WINDOW = 5_000; // milliseconds over which the rate is an average
const STEP = 500; // milliseconds that are counted together

export class EventLog {
  #events = [];
  #size = 0; // of these events, as KEPT_SIZE
  #total = 0;
  #counts = []; // [step, number] of the last WINDOW, oldest first
  #first = null;

  // Adds a result. `now` is monotonic, `time` a Date.
  add(result, now, time = new Date()) {
    this.#total += 1;
    this.#first ??= now;
    const size = JSON.stringify(result).length;
    this.#events.push({ number: this.#total, time, result, size });
    this.#size += size;
    while (this.#events.length > KEPT || (this.#size > KEPT_SIZE && this.#events.length > 1)) {
      this.#size -= this.#events.shift().size;
    }
    const step = Math.floor(now / STEP);
    const last = this.#counts.at(-1);
    if (last?.[0] === step) {
      last[1] += 1;
    } else {
      this.#counts.push([step, 1]);
      this.#forget(now);
    }
  }

  // Events in a second. A stream that is younger than the window has the average since its first event.
  rate(now) {
    this.#forget(now);
    // Of the oldest step a part is within the window.
    const start = (now - WINDOW) / STEP;
    const share = (step) => Math.min(1, step + 1 - start);
    const number = this.#counts.reduce((sum, [step, count]) => sum + count * share(step), 0);
    if (number === 0) return 0;
    const elapsed = Math.min(Math.max(now - this.#first, 1_000), WINDOW);
    return (number * 1_000) / elapsed;
  }

  // What a component shows, newest first.
  snapshot(now) {
    return { events: [...this.#events].reverse(), total: this.#total, rate: this.rate(now) };
  }

  #forget(now) {
    const oldest = Math.floor((now - WINDOW) / STEP);
    while (this.#counts.length && this.#counts[0][0] < oldest) this.#counts.shift();
  }
}

// One line of a result: its first error, or the value of its only field.
export function preview({ data, errors }, length = 200) {
  if (errors?.length) return String(errors[0]?.message ?? "error");
  const values = data && typeof data === "object" ? Object.values(data) : [];
  const text = JSON.stringify(values.length === 1 ? values[0] : data) ?? "";
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
