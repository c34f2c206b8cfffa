//! A bar on a terminal; nothing anywhere else.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Drawing takes a lock, and a loop turns thousands of times a second.
const REDRAWN_EVERY: Duration = Duration::from_millis(100);

/// What the run is doing, and how far it is.
pub(crate) struct Progress {
    bar: ProgressBar,
    drawn: Instant,
    position: u64,
}

impl Progress {
    /// On standard error, if that is a terminal.
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::new(0).with_style(style),
            drawn: Instant::now(),
            position: 0,
        }
    }

    /// Something else begins, in so many steps.
    pub(crate) fn begin(&mut self, what: &'static str, steps: u64) {
        self.position = 0;
        self.bar.set_length(steps);
        self.bar.set_position(0);
        self.bar.set_message(what);
    }

    /// So many steps are done.
    pub(crate) fn reached(&mut self, position: u64) {
        self.position = position;
        if self.drawn.elapsed() >= REDRAWN_EVERY {
            self.drawn = Instant::now();
            self.bar.set_position(position);
        }
    }

    /// Steps done.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }
}

impl Drop for Progress {
    /// Leaves the terminal as it was.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
