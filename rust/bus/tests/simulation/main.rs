//! Many nodes and streams over a model of an engine, in virtual time: links that lose, duplicate,
//! delay and reorder messages, cuts, full queues, failovers, trimming. In the end each subscriber
//! has received each event once and in order, or was told at that place that events are missing.
//!
//! `SIMULATION_SEED` replays a run, `SIMULATION_NODES` and `SIMULATION_STREAMS` set its size.

mod engine;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bus::engine::{Numbering, ReadError};
use bus::{HeldLimits, Output, Position, Sequencer};
use engine::{Log, Published};

/// When faults end (virtual microseconds).
const QUIET: u64 = 30_000_000;

struct Random(u64);

impl Random {
    /// A number below `end` (`SplitMix64`).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// An event of the simulation, for one subscriber (its number) or stream.
#[derive(Debug)]
enum Happening {
    Publish {
        stream: usize,
        left: u64,
    },
    Event {
        to: usize,
        link: u64,
        event: Published,
    },
    Doubt {
        to: usize,
        link: u64,
    },
    Cut {
        node: usize,
    },
    Ready {
        to: usize,
        link: u64,
    },
    /// The head that was read, before it arrives.
    Head {
        to: usize,
        link: u64,
        head: Position,
        newest: u64,
    },
    BeginRead {
        to: usize,
    },
    Answer {
        to: usize,
        after: Position,
        is_lost: bool,
    },
    Audit {
        to: usize,
    },
    FailOver {
        stream: usize,
    },
}

/// One stream on one node.
struct Subscriber {
    node: usize,
    stream: usize,
    sequencer: Sequencer<Published>,
    last: Option<u64>,
    has_missed: bool,
    has_read: bool,
    is_reading: bool,
    /// When the newest message arrives, on links that keep the order.
    arrives: u64,
}

struct World {
    random: Random,
    now: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    happenings: Vec<Option<Happening>>,
    free: Vec<usize>,
    logs: Vec<Log>,
    links: Vec<u64>,
    subscribers: Vec<Subscriber>,
    of_stream: Vec<Vec<usize>>,
    of_node: Vec<Vec<usize>>,
    delivered: u64,
    failed: u64,
}

impl World {
    fn new(seed: u64, nodes: usize, streams: usize) -> Self {
        let kinds = [Numbering::Dense, Numbering::Linked, Numbering::Sparse];
        let mut world = Self {
            random: Random(seed),
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            happenings: Vec::new(),
            free: Vec::new(),
            logs: (0..streams).map(|n| Log::new(kinds[n % 3])).collect(),
            links: vec![0; nodes],
            subscribers: Vec::new(),
            of_stream: vec![Vec::new(); streams],
            of_node: vec![Vec::new(); nodes],
            delivered: 0,
            failed: 0,
        };
        for stream in 0..streams {
            let wanted = if stream % 100 == 0 {
                nodes
            } else {
                3.min(nodes)
            };
            let first = world.random.below(nodes as u64) as usize;
            for node in (first..first + wanted).map(|n| n % nodes) {
                let to = world.subscribers.len();
                world.subscribers.push(Subscriber {
                    node,
                    stream,
                    sequencer: Sequencer::new(kinds[stream % 3], true, HeldLimits::default()),
                    last: None,
                    has_missed: false,
                    has_read: false,
                    is_reading: false,
                    arrives: 0,
                });
                world.of_stream[stream].push(to);
                world.of_node[node].push(to);
                world.after(1_000_000, Happening::Ready { to, link: 0 });
            }
            world.after(QUIET / 15, Happening::Publish { stream, left: 12 });
            if stream % 10 == 0 {
                world.after(QUIET, Happening::FailOver { stream });
            }
        }
        for node in 0..nodes {
            for _ in 0..3 {
                world.after(QUIET, Happening::Cut { node });
            }
        }
        world
    }

    /// At a random time before `end` from now.
    fn after(&mut self, end: u64, happening: Happening) {
        let time = self.now + 1 + self.random.below(end);
        self.at(time, happening);
    }

    fn at(&mut self, time: u64, happening: Happening) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.happenings.push(None);
            self.happenings.len() - 1
        });
        self.happenings[place] = Some(happening);
        self.count += 1;
        self.queue.push(Reverse((time, self.count, place)));
    }

    fn run(&mut self) {
        while let Some(Reverse((time, _, place))) = self.queue.pop() {
            self.now = time;
            self.free.push(place);
            if let Some(happening) = self.happenings[place].take() {
                self.happen(happening);
            }
        }
    }

    fn is_quiet(&self) -> bool {
        self.now > QUIET
    }

    fn chance(&mut self, per_mille: u64) -> bool {
        !self.is_quiet() && self.random.below(1000) < per_mille
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Publish { stream, left } => {
                let gap = 1 + self.random.below(5);
                let event = self.logs[stream].publish(gap);
                for n in 0..self.of_stream[stream].len() {
                    self.send(self.of_stream[stream][n], event);
                }
                if left > 1 {
                    let left = left - 1;
                    self.after(QUIET / 6, Happening::Publish { stream, left });
                }
            }
            Happening::Event { to, link, event }
                if link == self.links[self.subscribers[to].node] =>
            {
                self.call(to, |s, mut sink| {
                    s.event(event.at, Some(event.before), 100, event, &mut sink);
                });
            }
            Happening::Doubt { to, link } if link == self.links[self.subscribers[to].node] => {
                self.call(to, |s, mut sink| s.doubt(&mut sink));
            }
            Happening::Event { .. } | Happening::Doubt { .. } => {}
            Happening::Cut { node } => {
                self.links[node] += 1;
                let link = self.links[node];
                for n in 0..self.of_node[node].len() {
                    let to = self.of_node[node][n];
                    self.call(to, |s, mut sink| s.doubt(&mut sink));
                    self.after(2_000_000, Happening::Ready { to, link });
                }
            }
            Happening::Ready { to, link } => {
                let log = &self.logs[self.subscribers[to].stream];
                let (head, newest) = (log.head(), log.newest);
                // Events that are published from now on arrive after it.
                let time = self.now + 1;
                self.at(
                    time,
                    Happening::Head {
                        to,
                        link,
                        head,
                        newest,
                    },
                );
            }
            Happening::Head {
                to,
                link,
                head,
                newest,
            } => {
                if link == self.links[self.subscribers[to].node] {
                    self.subscribers[to].last.get_or_insert(newest);
                    self.call(to, |s, mut sink| s.ready(head, &mut sink));
                }
            }
            Happening::BeginRead { to } => {
                self.subscribers[to].has_read = false;
                if let Some(after) = self.subscribers[to].sequencer.begin_read() {
                    assert!(!self.subscribers[to].is_reading, "one read at a time");
                    self.subscribers[to].is_reading = true;
                    let is_lost = self.chance(100);
                    self.after(50_000, Happening::Answer { to, after, is_lost });
                }
            }
            Happening::Answer { to, after, is_lost } => {
                self.subscribers[to].is_reading = false;
                self.failed += u64::from(is_lost);
                let answer = if is_lost {
                    Err(ReadError::Unavailable("no link".to_owned()))
                } else {
                    self.logs[self.subscribers[to].stream].read(after)
                };
                self.call(to, |s, mut sink| match answer {
                    Ok((events, head)) => {
                        s.page(events.into_iter().map(|e| (e.at, e)), head, &mut sink);
                    }
                    Err(error) => s.read_failed(&error, &mut sink),
                });
            }
            Happening::Audit { to } => {
                let head = self.logs[self.subscribers[to].stream].head();
                self.call(to, |s, mut sink| s.audited(head, &mut sink));
            }
            Happening::FailOver { stream } => self.logs[stream].fail_over(),
        }
    }

    fn send(&mut self, to: usize, event: Published) {
        let is_ordered = self.logs[self.subscribers[to].stream].numbering == Numbering::Sparse;
        let link = self.links[self.subscribers[to].node];
        let mut time = self.now + 500 + self.random.below(20_000);
        if is_ordered {
            time = time.max(self.subscribers[to].arrives + 1);
            self.subscribers[to].arrives = time;
        }
        if self.chance(30) {
            if is_ordered {
                self.at(time, Happening::Doubt { to, link });
            }
            return;
        }
        if self.chance(20) {
            self.at(time + 1, Happening::Event { to, link, event });
        }
        self.at(time, Happening::Event { to, link, event });
    }

    fn call(
        &mut self,
        to: usize,
        call: impl FnOnce(&mut Sequencer<Published>, &mut dyn FnMut(Output<Published>) -> bool),
    ) {
        let is_full = self.chance(5);
        let subscriber = &mut self.subscribers[to];
        let (last, has_missed) = (&mut subscriber.last, &mut subscriber.has_missed);
        let delivered = &mut self.delivered;
        call(&mut subscriber.sequencer, &mut |output| {
            if is_full {
                return false;
            }
            match output {
                Output::Missed(_) => *has_missed = true,
                Output::Deliver(at, event) => {
                    let known = last.expect("nothing comes before ready");
                    assert_eq!(at, event.at);
                    assert!(event.id > known, "{} after {known}", event.id);
                    assert!(
                        *has_missed || event.id == known + 1,
                        "{} after {known}",
                        event.id
                    );
                    (*last, *has_missed) = (Some(event.id), false);
                    *delivered += 1;
                }
            }
            true
        });
        if subscriber.sequencer.wants_read() && !subscriber.has_read {
            subscriber.has_read = true;
            let pause = 20_000 << subscriber.sequencer.fruitless_reads().min(6);
            self.after(pause, Happening::BeginRead { to });
        }
    }

    fn check(&mut self) {
        let (mut gaps, mut reads, mut missed) = (0, 0, 0);
        for subscriber in &mut self.subscribers {
            let log = &self.logs[subscriber.stream];
            let counters = subscriber.sequencer.take_counters();
            (gaps, reads) = (gaps + counters.gaps, reads + counters.reads);
            missed += counters.missed;
            assert!(subscriber.sequencer.is_live());
            assert_eq!(subscriber.sequencer.position(), Some(log.head()));
            assert!(subscriber.has_missed || subscriber.last == Some(log.newest));
        }
        eprintln!(
            "{} subscribers, {} events delivered, {gaps} gaps, {reads} reads ({} failed), {missed} missed",
            self.subscribers.len(),
            self.delivered,
            self.failed,
        );
        assert!(self.delivered > 0 && gaps > 0 && missed > 0);
        assert!(
            reads <= 2 * gaps + self.failed,
            "{reads} reads for {gaps} gaps"
        );
    }
}

/// Reads a number from an environment variable.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a whole number"))
}

fn simulate(seed: u64, nodes: u64, streams: u64) {
    eprintln!("SIMULATION_SEED={seed} SIMULATION_NODES={nodes} SIMULATION_STREAMS={streams}");
    let mut world = World::new(seed, nodes as usize, streams as usize);
    world.run();
    // Without faults: one audit, and the reads that it causes.
    for to in 0..world.subscribers.len() {
        world.after(1_000_000, Happening::Audit { to });
    }
    world.run();
    world.check();
}

#[test]
fn every_subscriber_receives_each_event_or_is_told_of_the_gap() {
    let size = |nodes, streams| {
        let nodes = setting("SIMULATION_NODES", nodes);
        (nodes, setting("SIMULATION_STREAMS", streams))
    };
    let (nodes, streams) = size(50, 2000);
    simulate(setting("SIMULATION_SEED", 1), nodes, streams);
}

#[test]
#[ignore = "takes minutes without optimization"]
fn the_full_size_holds_as_well() {
    simulate(setting("SIMULATION_SEED", 1), 50, 100_000);
}
