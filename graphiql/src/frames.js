// Calls a function at most once for each animation frame and each INTERVAL, however often it is asked for.
// A fast stream then costs ten renders a second, and a hidden page none.

const INTERVAL = 100; // milliseconds

export function perFrame(call) {
  let frame = null;
  let last = -INTERVAL;
  const look = (now) => {
    if (now - last < INTERVAL) {
      frame = requestAnimationFrame(look);
    } else {
      frame = null;
      last = now;
      call();
    }
  };
  return {
    ask() {
      frame ??= requestAnimationFrame(look);
    },
    // Calls at once if a call is awaited.
    flush() {
      if (frame === null) return;
      cancelAnimationFrame(frame);
      frame = null;
      call();
    },
  };
}
