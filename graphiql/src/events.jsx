// The newest events, each on a line with its time; one that is chosen is shown in full.
import { memo, useState, useSyncExternalStore } from "react";
import { events } from "./connection.js";
import { preview } from "./event_log.js";

const pad = (number, digits = 2) => String(number).padStart(digits, "0");
const clock = (time) =>
  `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}.${pad(time.getMilliseconds(), 3)}`;

export function Events() {
  const { events: newest, total } = useSyncExternalStore(events.subscribe, events.get);
  const [chosen, choose] = useState(null);
  if (!total) return null;
  return (
    <section className="subs-events" aria-label="Events">
      {chosen && (
        <div className="subs-chosen">
          <button type="button" onClick={() => choose(null)} aria-label="Close this event">
            ×
          </button>
          <pre>
            #{chosen.number} {clock(chosen.time)}
            {"\n"}
            {JSON.stringify(chosen.result, null, 2)}
          </pre>
        </div>
      )}
      <ol>
        {newest.map((event) => (
          <Event key={event.number} event={event} choose={choose} />
        ))}
      </ol>
      {total > newest.length && <p>The newest {newest.length} are kept.</p>}
    </section>
  );
}

const Event = memo(function Event({ event, choose }) {
  return (
    <li className={event.result.errors ? "subs-failed" : undefined}>
      <button type="button" onClick={() => choose(event)}>
        <time dateTime={event.time.toISOString()}>{clock(event.time)}</time>
        <span>{preview(event.result)}</span>
      </button>
    </li>
  );
});
