// How the connection is: one line, and a banner for what needs attention.
import { useSyncExternalStore } from "react";
import { clearEvents, events, status } from "./connection.js";

const LABELS = {
  idle: "Not connected",
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  closed: "Closed",
};

export function Status() {
  const { phase } = useSyncExternalStore(status.subscribe, status.get);
  const { total, rate } = useSyncExternalStore(events.subscribe, events.get);
  return (
    <div className="subs-status" data-phase={phase}>
      <span className="subs-phase" role="status">
        {LABELS[phase]}
      </span>
      {(phase !== "idle" || total > 0) && (
        <>
          <span className="subs-total">
            {total.toLocaleString("en")} {total === 1 ? "event" : "events"}
          </span>
          <span className="subs-rate" title="average of the last 5 seconds">
            {rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")}/s
          </span>
        </>
      )}
      <button type="button" onClick={clearEvents} disabled={!total}>
        Clear
      </button>
    </div>
  );
}

export function Banner() {
  const { banner } = useSyncExternalStore(status.subscribe, status.get);
  if (!banner) return null;
  const close = () => status.set({ ...status.get(), banner: null });
  return (
    <div className={`subs-banner subs-${banner.level}`} role="alert">
      <div>
        <strong>{banner.title}</strong>
        <p>{banner.text}</p>
      </div>
      <button type="button" onClick={close} aria-label="Close this message">
        ×
      </button>
    </div>
  );
}
