//! One run: connects, checks that every subscription is live, publishes, waits, counts.
//!
//! Not here: sockets (`driver`), classification of deliveries (`tracker`), output (`report`).

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::client::Record;
use crate::driver::ConnectionDriver;
use crate::error::LoadError;
use crate::options::Mode;
use crate::plan::{Plan, Role};
use crate::processes::{allow_files, shared_out, thread_cpu, usage};
use crate::progress::Progress;
use crate::report::{Before, Measured, Report, Sample};
use crate::storm;
use crate::tracker::{Audience, DeliveryTracker};

/// Open files in addition to the connections (count).
const OTHER_FILES: u64 = 64;

/// After this time without a delivery, no event is in flight on an idle machine.
const QUIET: Duration = Duration::from_millis(250);

/// Concurrent probes of selective subscriptions (count).
const PROBES: usize = 64;

/// Resolution of timers: a shorter delay does not count as waiting.
const TIMER: Duration = Duration::from_millis(1);

/// Time for slow clients to read their data, to find the ones that were disconnected.
const SLOW_READING: Duration = Duration::from_secs(2);

/// Longest wait until the end of a storm is noticed.
const STORM_WAIT: Duration = Duration::from_millis(10);

/// When to publish.
enum Pace {
    /// A number of events, with at most `pending` of them in flight.
    Closed { events: u64, pending: usize },
    /// A number of events at a fixed rate, also if the server falls behind.
    Open { events: u64, rate: f64 },
}

struct Run<'a> {
    plan: &'a Plan,
    driver: ConnectionDriver<'a>,
    progress: Progress,
    random: fastrand::Rng,
    event: Vec<u8>,
    /// Numbers of the subscriptions that receive the events of their key.
    keys: Vec<u32>,
    churning: Vec<u32>,
    samples: Vec<Sample>,
    /// Longest delay with which a due event was published.
    lateness: Duration,
    storm: Option<storm::Outcome>,
    interrupted: bool,
}

/// Runs the load that `plan` describes.
pub(crate) fn run(plan: &Plan, interrupted: &mut dyn FnMut() -> bool) -> Result<Report, LoadError> {
    let options = &plan.options;
    let connections = match options.mode {
        Mode::Storm => options.connections.saturating_add(options.live),
        _ => options.connections,
    };
    let needed = u64::from(connections) + OTHER_FILES;
    allow_files(needed).map_err(|limit| LoadError::Files {
        connections,
        needed,
        limit,
    })?;
    if options.mode == Mode::Storm {
        storm::prepare(plan, interrupted)?;
    }
    let before = Before {
        usage: usage(&options.pid)?,
        pss: shared_out(&options.pid),
    };
    let roles = plan.roles()?;
    let of = |wanted| {
        let roles = roles.iter().enumerate();
        let of_role = roles.filter(move |(_, role)| **role == wanted);
        of_role.map(|(number, _)| number as u32)
    };
    let subscriptions = |number: u32| {
        let first = number * options.subscriptions;
        first..first + options.subscriptions
    };
    let keys = of(Role::Selective).flat_map(subscriptions).collect();
    let churning = of(Role::Churning).collect();
    let audiences = roles.iter().flat_map(|role| {
        let audience = match role {
            Role::Broadcast => Audience::All,
            Role::Selective => Audience::Own,
            Role::Churning | Role::Slow | Role::Storming => Audience::Unchecked,
        };
        std::iter::repeat_n(audience, options.subscriptions as usize)
    });
    let record = Record::new(
        DeliveryTracker::new(audiences),
        options.init_payload.as_deref(),
    );
    let mut run = Run {
        plan,
        driver: ConnectionDriver::new(plan, roles.clone(), record, interrupted)?
            .with_publisher()?,
        progress: Progress::new(),
        random: fastrand::Rng::with_seed(1),
        event: Vec::new(),
        keys,
        churning,
        samples: Vec::new(),
        lateness: Duration::ZERO,
        storm: None,
        interrupted: false,
    };
    run.connect()?;
    run.warm_up()?;
    run.measure(before)
}

impl Run<'_> {
    /// Connects and subscribes all clients.
    fn connect(&mut self) -> Result<(), LoadError> {
        let connections = self.plan.connections();
        let patience = Duration::from_secs_f64(self.plan.options.patience);
        self.progress.begin("connecting", u64::from(connections));
        let (mut unacknowledged, mut since) = (connections, Instant::now());
        while unacknowledged > 0 {
            self.driver.turn(QUIET)?;
            let now = self.driver.unacknowledged();
            if now < unacknowledged {
                (unacknowledged, since) = (now, Instant::now());
                self.progress
                    .reached(u64::from(connections - unacknowledged));
            }
            let ended = self.driver.counts.ended;
            if self.driver.record.has_errors() || since.elapsed() > patience {
                return Err(LoadError::SetUp {
                    ready: connections.saturating_sub(now + ended),
                    connections,
                    reason: self.reason(&format!("nothing happened for {patience:?}")),
                });
            }
        }
        Ok(())
    }

    /// Publishes until every subscription has received an event, then the warm-up events.
    fn warm_up(&mut self) -> Result<(), LoadError> {
        if self.driver.publisher.is_none() {
            self.settle(QUIET * 4)?;
            return match self.driver.record.has_errors() {
                true => Err(self.not_live()),
                false => Ok(()),
            };
        }
        self.probe()?;
        self.settle(QUIET)?;
        self.driver.record.start();
        let pace = Pace::Closed {
            events: u64::from(self.plan.options.warm_up),
            pending: self.plan.options.pending as usize,
        };
        self.publish_all(&pace, "warming up")?;
        self.samples.clear();
        self.lateness = Duration::ZERO;
        Ok(())
    }

    /// Publishes until every subscription has received an event, because the protocol does not
    /// acknowledge a `subscribe`.
    fn probe(&mut self) -> Result<(), LoadError> {
        let patience = Duration::from_secs_f64(self.plan.options.patience);
        let all = self.driver.record.tracker.waiting();
        self.progress.begin("subscribing", all as u64);
        let (mut waiting, mut since) = (all, Instant::now());
        let (mut results, mut heard) = (self.driver.record.results, None::<Instant>);
        // Keys of this round that are not probed yet, and the number of live subscriptions before
        // it.
        let (mut round, mut sent) = (Vec::new(), 0);
        while self.driver.record.tracker.waiting() > 0 {
            // Probes that only wait for a slow server must not be repeated.
            let quiet = heard.is_none_or(|heard| heard.elapsed() >= QUIET);
            if round.is_empty() && quiet && self.is_ready() {
                let tracker = &self.driver.record.tracker;
                let silent = self.keys.iter().filter(|key| !tracker.is_live(**key));
                round = silent.copied().collect();
                sent = 0;
                waiting = tracker.waiting();
                if round.is_empty() {
                    self.publish(0, self.driver.elapsed());
                }
                heard = Some(Instant::now());
            }
            let answered = waiting.saturating_sub(self.driver.record.tracker.waiting());
            while !round.is_empty() && sent < answered + PROBES && self.is_ready() {
                let key = round.pop().unwrap_or_default();
                self.publish(key, self.driver.elapsed());
                sent += 1;
            }
            self.driver.turn(QUIET)?;
            if self.driver.record.results > results {
                results = self.driver.record.results;
                heard = Some(Instant::now());
            } else if heard.is_some_and(|heard| heard.elapsed() >= QUIET) {
                // Probed subscriptions without an answer are probed in the next round.
                round.clear();
            }
            let now = self.driver.record.tracker.waiting();
            if now < all - self.progress.position() as usize {
                since = Instant::now();
                self.progress.reached((all - now) as u64);
            }
            if self.driver.record.has_errors() || since.elapsed() > patience {
                return Err(self.not_live());
            }
        }
        match self.driver.record.has_errors() {
            true => Err(self.not_live()),
            false => Ok(()),
        }
    }

    fn not_live(&self) -> LoadError {
        let options = &self.plan.options;
        LoadError::NotLive {
            missing: self.driver.record.tracker.silent(),
            subscriptions: u64::from(self.plan.connections()) * u64::from(options.subscriptions),
            reason: self.reason("do `--channel` and `--data` match `--query` and `--variables`?"),
        }
    }

    /// Waits until no delivery has arrived for `quiet`.
    fn settle(&mut self, quiet: Duration) -> Result<(), LoadError> {
        let (mut results, mut since) = (self.driver.record.results, Instant::now());
        let begun = Instant::now();
        while since.elapsed() < quiet && begun.elapsed() < quiet * 20 {
            self.driver.turn(quiet)?;
            if self.driver.record.results > results {
                (results, since) = (self.driver.record.results, Instant::now());
            }
        }
        Ok(())
    }

    /// Runs the measurement, and returns the report.
    fn measure(&mut self, before: Before) -> Result<Report, LoadError> {
        let pids = &self.plan.options.pid;
        self.driver.record.start();
        let (results, start) = (self.driver.record.results, Instant::now());
        let (server, client) = (usage(pids)?, thread_cpu());
        let ran = match self.plan.options.mode {
            Mode::Idle => self.idle(),
            Mode::Storm => self.storm(),
            _ => self.publish_all(&self.pace(), "measuring"),
        };
        let client_cpu_seconds = thread_cpu().saturating_sub(client).as_secs_f64();
        self.tell(ran);
        let seconds = start.elapsed().as_secs_f64();
        let results = self.driver.record.results - results;
        // For an ended process the last sample is used.
        let sampled = self.samples.last().map_or(server, |sample| sample.usage);
        let after = usage(pids).unwrap_or(sampled);
        let rest = self.rest();
        self.tell(rest);
        let measured = Measured {
            seconds,
            results,
            before,
            after,
            pss_after: shared_out(pids),
            server_cpu_seconds: after.cpu_seconds - server.cpu_seconds,
            client_cpu_seconds,
            lateness: self.lateness,
            samples: std::mem::take(&mut self.samples),
            storm: self.storm.take(),
            interrupted: self.interrupted,
        };
        Ok(Report::new(self.plan, &self.driver, measured))
    }

    fn pace(&self) -> Pace {
        let options = &self.plan.options;
        match self.plan.rate {
            Some(rate) => Pace::Open {
                rate,
                events: (rate * options.duration).ceil() as u64,
            },
            None => Pace::Closed {
                events: u64::from(options.events),
                pending: options.pending as usize,
            },
        }
    }

    /// Waits for unexpected deliveries.
    fn rest(&mut self) -> Result<(), LoadError> {
        // A duplicate may arrive after the last delivery.
        self.settle(QUIET)?;
        if self.plan.options.mode == Mode::Slow {
            self.driver.wake_slow();
            let reading = Instant::now();
            while reading.elapsed() < SLOW_READING {
                self.driver.turn(QUIET)?;
            }
        }
        Ok(())
    }

    /// Records an error or interruption, so that the report has the measurements until then.
    fn tell(&mut self, result: Result<(), LoadError>) {
        match result {
            Ok(()) => {}
            Err(LoadError::Interrupted) => self.interrupted = true,
            Err(error) => self.driver.record.error(error.to_string()),
        }
    }

    fn idle(&mut self) -> Result<(), LoadError> {
        let duration = Duration::from_secs_f64(self.plan.options.duration);
        self.progress.begin("idle, seconds", duration.as_secs());
        let start = Instant::now();
        while let Some(left) = duration.checked_sub(start.elapsed()) {
            self.driver.turn(left)?;
            self.sample(start)?;
            self.attended()?;
            self.progress.reached(start.elapsed().as_secs());
        }
        Ok(())
    }

    /// Publishes at a rate while others connect at once, and until all events are delivered.
    fn storm(&mut self) -> Result<(), LoadError> {
        let (plan, stop) = (self.plan, AtomicBool::new(false));
        let rate = plan.rate.unwrap_or(1.0);
        let connections = u64::from(plan.options.connections);
        self.progress.begin("connecting", connections);
        let (start, began) = (Instant::now(), self.driver.elapsed());
        let stormed = std::thread::scope(|scope| {
            let storm = scope.spawn(|| storm::run(plan, &mut || stop.load(Relaxed)));
            let mut published = Ok(());
            while published.is_ok() && !storm.is_finished() {
                let wait = self.catch_up(began, rate, u64::MAX);
                let turned = self.driver.turn(wait.min(STORM_WAIT));
                published = turned.and_then(|()| self.sample(start));
            }
            stop.store(published.is_err(), Relaxed);
            let stormed = storm.join().unwrap_or_else(|panic| resume_unwind(panic));
            published.and(stormed)
        })?;
        self.storm = Some(stormed);
        let events = self.driver.record.tracker.events();
        self.publish_all(&Pace::Open { rate, events }, "measuring")
    }

    /// Publishes at a pace until all events are delivered, or no delivery arrives any more.
    fn publish_all(&mut self, pace: &Pace, what: &'static str) -> Result<(), LoadError> {
        let patience = Duration::from_secs_f64(self.plan.options.patience);
        let start = Instant::now();
        let began = self.driver.elapsed();
        let (Pace::Closed { events: total, .. } | Pace::Open { events: total, .. }) = *pace;
        self.progress.begin(what, total);
        let (mut results, mut since, mut churned) = (self.driver.record.results, start, 0);
        loop {
            let published = self.driver.record.tracker.events();
            let pending = self.driver.record.tracker.pending();
            if published >= total && pending == 0 {
                return Ok(());
            }
            let wait = match pace {
                Pace::Closed { pending, .. } => self.fill(total, *pending),
                Pace::Open { rate, .. } => self.catch_up(began, *rate, total),
            };
            self.driver.turn(wait)?;
            self.sample(start)?;
            self.attended()?;
            if published < total && matches!(pace, Pace::Open { .. }) {
                self.churn(start, &mut churned);
            }
            self.progress.reached(published);
            if self.driver.record.results > results || self.driver.record.tracker.pending() == 0 {
                (results, since) = (self.driver.record.results, Instant::now());
            } else if since.elapsed() > patience {
                self.driver.record.tracker.give_up();
                since = Instant::now();
            }
        }
    }

    /// Publishes events up to the limit of pending ones; returns how long to wait.
    fn fill(&mut self, total: u64, pending: usize) -> Duration {
        while self.driver.record.tracker.events() < total
            && self.driver.record.tracker.pending() < pending
            && self.is_ready()
        {
            let key = self.key();
            self.publish(key, self.driver.elapsed());
        }
        QUIET
    }

    /// Publishes the events that are due; returns the time until the next one is.
    fn catch_up(&mut self, began: Duration, rate: f64, total: u64) -> Duration {
        loop {
            let number = self.driver.record.tracker.events();
            if number >= total {
                return QUIET;
            }
            let due = began + Duration::from_secs_f64(number as f64 / rate);
            let now = self.driver.elapsed();
            if let Some(wait) = due.checked_sub(now).filter(|wait| !wait.is_zero()) {
                return wait;
            }
            if !self.is_ready() {
                return TIMER;
            }
            self.lateness = self.lateness.max(now.saturating_sub(due));
            // The latency of a delayed event includes its delay.
            let key = self.key();
            self.publish(key, now.min(due + TIMER));
        }
    }

    /// Disconnects churning connections at their rate; they reconnect.
    fn churn(&mut self, start: Instant, churned: &mut u64) {
        if self.churning.is_empty() {
            return;
        }
        let due = (start.elapsed().as_secs_f64() * self.plan.options.churn_rate) as u64;
        while *churned < due {
            let churning = self.churning[*churned as usize % self.churning.len()];
            self.driver.leave(churning);
            *churned += 1;
        }
    }

    fn sample(&mut self, start: Instant) -> Result<(), LoadError> {
        let seconds = start.elapsed().as_secs_f64();
        let interval = self.plan.options.sample_interval;
        if self.plan.options.pid.is_empty() || seconds < self.samples.len() as f64 * interval {
            return Ok(());
        }
        let usage = usage(&self.plan.options.pid)?;
        self.samples.push(Sample { seconds, usage });
        Ok(())
    }

    /// Returns an error if no subscriber is left.
    fn attended(&self) -> Result<(), LoadError> {
        let checked = self.driver.roles().iter();
        let checked = checked.filter(|role| matches!(role, Role::Broadcast | Role::Selective));
        if (self.driver.counts.ended as usize) < checked.count() {
            return Ok(());
        }
        Err(LoadError::Alone(self.reason("no reason was given")))
    }

    fn is_ready(&self) -> bool {
        let publisher = self.driver.publisher.as_ref();
        publisher.is_some_and(crate::publisher::Publisher::is_ready)
    }

    /// Returns the key of the next event: a subscription's number in selective mode.
    fn key(&mut self) -> u32 {
        self.random.choice(&self.keys).copied().unwrap_or(0)
    }

    /// Publishes one event with the time stamp `time` since the load began.
    fn publish(&mut self, key: u32, time: Duration) {
        let Some(publisher) = &mut self.driver.publisher else {
            return;
        };
        let sequence = self.driver.record.tracker.publish(key);
        self.event.clear();
        let values = [u64::from(sequence), time.as_micros() as u64, u64::from(key)];
        self.plan.event.render(&values, &mut self.event);
        publisher.publish(&self.event);
    }

    /// Returns the first error.
    fn reason(&self, otherwise: &str) -> String {
        let errors = self.driver.record.errors();
        errors
            .into_iter()
            .next()
            .unwrap_or_else(|| otherwise.to_owned())
    }
}
