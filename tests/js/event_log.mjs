// Prints what the list of events of the page for browsers shows after streams of some rates.
// Arguments: events in a second, how many seconds, and the characters of each, as triples of numbers.
import { EventLog } from "../../graphiql/src/event_log.js";

const log = new EventLog();
let now = 1_000_000;
const numbers = process.argv.slice(2).map(Number);
for (let i = 0; i < numbers.length; i += 3) {
  const [rate, seconds, size] = numbers.slice(i, i + 3);
  const data = "x".repeat(size);
  for (let event = 0; event < rate * seconds; event += 1) log.add({ data }, now + (event * 1000) / rate);
  now += seconds * 1000;
  const { events, total, rate: shown } = log.snapshot(now);
  const kept = events.map(({ number }) => number);
  process.stdout.write(JSON.stringify({ total, rate: shown, newest: kept[0], kept: kept.length }) + "\n");
}
