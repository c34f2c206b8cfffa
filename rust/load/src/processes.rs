//! CPU time and memory of processes, from `/proc`, and the limit of open files of this process.

use serde::Serialize;

pub(crate) use system::{allow_files, thread_cpu};

/// CPU time and memory of several processes together.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Usage {
    /// User and system time of all their threads, also of those that have ended (seconds).
    pub cpu_seconds: f64,
    /// Resident memory; shared pages count for each process (bytes).
    pub rss_bytes: u64,
}

/// A process that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} of `--pid` cannot be read: {source}")]
pub struct NoProcess {
    pid: u32,
    source: std::io::Error,
}

/// Reads CPU time and memory of the processes `pids`.
///
/// # Errors
///
/// [`NoProcess`] if one of them has ended or does not exist.
pub(crate) fn usage(pids: &[u32]) -> Result<Usage, NoProcess> {
    let mut total = Usage::default();
    for pid in pids {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .map_err(|source| NoProcess { pid: *pid, source })
        };
        total.cpu_seconds += cpu_seconds(&read("stat")?);
        total.rss_bytes += kibibytes(&read("status")?, "VmRSS:").unwrap_or(0);
    }
    Ok(total)
}

/// Returns the resident memory of the processes `pids`, with shared pages divided among them
/// (bytes); `None` if the system does not report it. It scans their memory, so it must not be
/// called during a measurement.
pub(crate) fn shared_out(pids: &[u32]) -> Option<u64> {
    let one = |pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        kibibytes(&text, "Pss:")
    };
    pids.iter().map(one).sum()
}

/// Returns user and system time from a line of `/proc/PID/stat`.
fn cpu_seconds(stat: &str) -> f64 {
    // The name of the program, in parentheses, may contain spaces and parentheses.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / system::ticks_per_second()
}

/// Returns the value of a line such as `VmRSS: 123 kB` (bytes).
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(unix)]
mod system {
    use std::time::Duration;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    /// The unit of times in `/proc`.
    pub(super) fn ticks_per_second() -> f64 {
        rustix::param::clock_ticks_per_second() as f64
    }

    /// Returns the CPU time of the calling thread.
    #[must_use]
    pub(crate) fn thread_cpu() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }

    /// Raises the limit of open files as far as this process may.
    ///
    /// # Errors
    ///
    /// The limit, if it is below `needed`.
    pub(crate) fn allow_files(needed: u64) -> Result<(), u64> {
        let limit = getrlimit(Resource::Nofile);
        // Without a maximum there is no limit; a limit that cannot be raised stays.
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let reached = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(_) => limit.current,
        };
        match reached {
            Some(reached) if reached < needed => Err(reached),
            _ => Ok(()),
        }
    }
}

/// Without what only Unix has: no limit of open files, and no CPU time.
#[cfg(not(unix))]
mod system {
    use std::time::Duration;

    pub(super) fn ticks_per_second() -> f64 {
        100.0
    }

    #[must_use]
    pub(crate) fn thread_cpu() -> Duration {
        Duration::ZERO
    }

    #[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
    pub(crate) fn allow_files(_needed: u64) -> Result<(), u64> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_read() {
        let usage = usage(&[std::process::id()]).unwrap();
        assert!(usage.rss_bytes > 100_000, "{usage:?}");
        assert!(shared_out(&[std::process::id()]).is_none_or(|bytes| bytes > 100_000));
    }

    #[test]
    fn the_name_of_a_program_does_not_shift_its_times() {
        let stat = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 50 0 0 20 0";
        assert!((cpu_seconds(stat) - 150.0 / system::ticks_per_second()).abs() < 1e-9);
    }

    #[test]
    fn a_process_that_is_none_is_named() {
        let error = usage(&[u32::MAX]).unwrap_err().to_string();
        assert!(error.contains("process 4294967295"), "{error}");
    }
}
