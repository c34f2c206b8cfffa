//! `load`: a load generator for GraphQL servers that speak graphql-transport-ws.
//!
//! One thread with one epoll loop runs all connections, so that the load generator needs only a
//! fraction of a server's CPU time. It does not depend on the runtime: a server is a URL.
//!
//! # Layout
//!
//! - `options`, `plan`: the command line, and the checked plan of the run;
//! - `run`: connects, checks that every subscription is live, publishes, waits, counts;
//! - `driver`, `client`, `frames`, `template`, `tls`: all connections on one thread;
//! - `storm`, `arrivals`: many that connect at once, on another thread, and how long that takes;
//! - `publisher`: publishes the events;
//! - `tracker`, `scan`: compare published events with deliveries;
//! - `report`, `progress`, `processes`: the result of the run, its progress, CPU time and memory.

mod arrivals;
mod client;
mod driver;
mod error;
mod frames;
mod inflate;
mod options;
mod plan;
mod processes;
mod progress;
mod publisher;
mod report;
mod run;
mod scan;
mod storm;
mod template;
mod tls;
mod tracker;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

pub use error::LoadError;
pub use options::{Mode, OptionError, Options};
pub use processes::{NoProcess, Usage};
pub use publisher::PublishError;
pub use report::{Churn, Client, Latency, Report, Sample, Server, Slow, Storm, TlsHandshakes};
pub use template::TemplateError;
pub use tracker::Counts;

/// The exit status of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every delivery arrived once and in order.
    Clean = 0,
    /// A delivery was lost, duplicated, reordered or misrouted, or a connection broke.
    Faults = 1,
    /// Invalid options.
    Usage = 2,
    /// The load could not be run.
    Failed = 3,
    /// The load was interrupted.
    Interrupted = 130,
}

/// Runs a load and returns its result; calls `interrupted` ten times a second to check whether to
/// stop.
///
/// # Errors
///
/// [`LoadError`] if the load could not be run. Lost deliveries are not an error, but part of the
/// report.
pub fn run(options: Options, interrupted: &mut dyn FnMut() -> bool) -> Result<Report, LoadError> {
    run::run(&plan::Plan::new(options)?, interrupted)
}

/// Runs the command `program` with these arguments: prints the result, and returns the exit status.
pub fn command(
    program: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
    interrupted: &mut dyn FnMut() -> bool,
) -> Exit {
    let arguments = std::iter::once(program.into()).chain(arguments);
    let command = Options::command().name(program).bin_name(program);
    let parsed = command.try_get_matches_from(arguments);
    let options = match parsed.and_then(|matches| Options::from_arg_matches(&matches)) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Clean
            };
        }
    };
    let json = options.json.clone();
    let result = run(options, interrupted).and_then(|report| {
        print(&report, json.as_deref())?;
        Ok(report)
    });
    match result {
        Ok(report) if report.interrupted => Exit::Interrupted,
        Ok(report) if report.is_clean() => Exit::Clean,
        Ok(_) => Exit::Faults,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{program}: {error}");
            match error {
                LoadError::Options(_) => Exit::Usage,
                LoadError::Interrupted => Exit::Interrupted,
                _ => Exit::Failed,
            }
        }
    }
}

/// Prints the table, unless the JSON goes to standard output, and writes the JSON if requested.
fn print(report: &Report, json: Option<&Path>) -> Result<(), LoadError> {
    let on_stdout = json.is_some_and(|path| path == Path::new("-"));
    let output = |place: &Path| {
        let place = place.display().to_string();
        move |source| LoadError::Output { place, source }
    };
    if let Some(path) = json {
        let mut text = serde_json::to_vec_pretty(report)
            .map_err(io::Error::from)
            .map_err(output(path))?;
        text.push(b'\n');
        let written = match on_stdout {
            true => io::stdout().write_all(&text),
            false => std::fs::write(path, &text),
        };
        written.map_err(output(path))?;
    }
    if on_stdout {
        return Ok(());
    }
    write!(io::stdout(), "{report}").map_err(output(Path::new("standard output")))
}
