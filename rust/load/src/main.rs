//! The command `fraiseql-subs-load`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::TERM_SIGNALS;

fn main() -> ExitCode {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in TERM_SIGNALS {
        // If a signal cannot be caught, it ends the program as by default.
        let _ = signal_hook::flag::register(*signal, Arc::clone(&stop));
    }
    let arguments = std::env::args_os().skip(1);
    let mut interrupted = || stop.load(Ordering::Relaxed);
    ExitCode::from(load::command("fraiseql-subs-load", arguments, &mut interrupted) as u8)
}
