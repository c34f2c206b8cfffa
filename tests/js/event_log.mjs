// Prints what the list of events of the page for browsers shows after streams of some rates.
// Arguments: events in a second, and how many seconds, as pairs of numbers.
import { EventLog } from "../../graphiql/src/event_log.js";

const log = new EventLog();
let now = 1_000_000;
const pairs = process.argv.slice(2).map(Number);
for (let i = 0; i < pairs.length; i += 2) {
  const [rate, seconds] = pairs.slice(i, i + 2);
  for (let event = 0; event < rate * seconds; event += 1) log.add({ data: event }, now + (event * 1000) / rate);
  now += seconds * 1000;
  const { events, total, rate: shown } = log.snapshot(now);
  const numbers = events.map(({ number }) => number);
  process.stdout.write(JSON.stringify({ total, rate: shown, newest: numbers[0], kept: numbers.length }) + "\n");
}
