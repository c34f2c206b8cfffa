//! A progress bar on a terminal; no output otherwise.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Interval of redraws: drawing takes a lock, and the loop runs thousands of times a second.
const REDRAWN_EVERY: Duration = Duration::from_millis(100);

/// The current phase of the run, and its progress.
pub(crate) struct Progress {
    bar: ProgressBar,
    drawn: Instant,
    position: u64,
}

impl Progress {
    /// Creates a bar on standard error, if that is a terminal.
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            bar: ProgressBar::new(0).with_style(style),
            drawn: Instant::now(),
            position: 0,
        }
    }

    /// Begins a phase with a number of steps.
    pub(crate) fn begin(&mut self, what: &'static str, steps: u64) {
        self.position = 0;
        self.bar.set_length(steps);
        self.bar.set_position(0);
        self.bar.set_message(what);
    }

    /// Sets the number of completed steps.
    pub(crate) fn reached(&mut self, position: u64) {
        self.position = position;
        if self.drawn.elapsed() >= REDRAWN_EVERY {
            self.drawn = Instant::now();
            self.bar.set_position(position);
        }
    }

    /// Returns the number of completed steps.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }
}

impl Drop for Progress {
    /// Removes the bar from the terminal.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
