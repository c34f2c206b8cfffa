//! `load`: a load generator for GraphQL servers that speak graphql-transport-ws.
//!
//! One thread and one epoll loop carry every connection, so that the load generator costs a fraction
//! of what any server does. It knows nothing of the runtime beside it: a server is a URL.
//!
//! # Layout
//!
//! - `options`, `plan`: the command line, and what the run does;
//! - `run`: connect, see that every subscription is live, publish, wait, count;
//! - `driver`, `client`, `frames`, `template`: all connections on one thread;
//! - `publisher`: where the events come from;
//! - `tracker`, `scan`: what was published against what was delivered;
//! - `report`, `progress`, `processes`: what the run found.

mod client;
mod driver;
mod error;
mod frames;
mod options;
mod plan;
mod processes;
mod progress;
mod publisher;
mod report;
mod run;
mod scan;
mod template;
mod tracker;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::{CommandFactory, FromArgMatches};

pub use error::LoadError;
pub use options::{Mode, OptionError, Options};
pub use processes::{NoProcess, Usage};
pub use publisher::PublishError;
pub use report::{Churn, Client, Latency, Report, Sample, Server, Slow};
pub use template::TemplateError;
pub use tracker::Counts;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Every delivery came once and in order.
    Clean = 0,
    /// Something was lost, duplicated, reordered or misrouted, or connections broke.
    Faults = 1,
    /// Options that cannot be.
    Usage = 2,
    /// It could not be run.
    Failed = 3,
    /// Somebody stopped it.
    Interrupted = 130,
}

/// Runs a load and returns what it found; `interrupted` is asked ten times a second whether to stop.
///
/// # Errors
///
/// [`LoadError`] when the load could not be run. Lost deliveries are no error but in the report.
pub fn run(options: Options, interrupted: &mut dyn FnMut() -> bool) -> Result<Report, LoadError> {
    run::run(&plan::Plan::new(options)?, interrupted)
}

/// Runs the command `program` with these arguments: prints what was found, and says how to exit.
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

/// Prints the table, and writes the JSON where it is wanted.
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
