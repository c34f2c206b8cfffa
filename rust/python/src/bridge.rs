//! Runs jobs of the actors' threads on one asyncio event loop.
//!
//! Jobs of all threads are in one queue. The first job in an empty queue wakes the loop (`loop_wake`), so a batch
//! of jobs costs one wake-up.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::intern;
use pyo3::prelude::*;
use runtime::{BatchedWakes, Lane, Wake};
use tokio::sync::oneshot;

use crate::exit::is_exit;
use crate::future::{AtEnd, Kept, Promise, running_loop};
use crate::loop_wake::LoopWake;

/// Jobs, and calls of resolvers, in one turn of the event loop (count). The loop runs other tasks between two
/// turns.
const BATCH: usize = 256;

/// Time limit of one turn, checked between two jobs. Remaining jobs wait for the next turn.
const TURN: Duration = Duration::from_millis(2);

/// Actors that are woken together (count); the others are woken when the turn ends.
const WAKE_BATCH: usize = 32;

/// A function to run on the thread of the event loop.
type Job = Box<dyn FnOnce(Python<'_>) + Send>;

/// Starts the calls of lanes, on the thread of the event loop.
pub(crate) trait Steps: Send + Sync {
    /// Starts calls of a lane as long as the next one may start.
    fn step(self: Arc<Self>, py: Python<'_>, lane: &Arc<Lane>);
}

/// What a turn runs.
enum Work {
    Job(Job),
    /// Starts calls of a lane. This needs no function of its own in memory.
    Step(Arc<Lane>),
}

/// A function to run when the event loop is closed before the bridge is detached.
type LoopEnd = Box<dyn FnOnce(Python<'_>) + Send>;

/// The queue of jobs for one event loop.
pub(crate) struct Bridge {
    queue: Mutex<JobQueue>,
    /// Work that was taken from the queue, and comes before what is there. Locked before the queue. Only
    /// detaching locks it on another thread, so that the event loop's does not wait for others at each job.
    taken: Mutex<VecDeque<Work>>,
    steps: OnceLock<Weak<dyn Steps>>,
    wake: LoopWake,
    event_loop: Py<PyAny>,
    /// Used only on the event loop's thread.
    gathering: Mutex<Gathering>,
    promises: Mutex<Promises>,
    on_loop_end: Mutex<Option<LoopEnd>>,
    /// An exception that ends the program, which the next turn raises.
    interruption: Mutex<Option<PyErr>>,
}

/// Awaited futures that jobs will complete.
#[derive(Default)]
struct Promises {
    last: u64,
    kept: HashMap<u64, (Promise, AtEnd)>,
    closed: bool,
}

/// Actors with results, to be woken together.
#[derive(Default)]
struct Gathering {
    /// Whether a turn is running, or follows directly after the tasks that the last one created.
    is_open: bool,
    /// Whether this turn created tasks whose first step runs after it.
    tasks_follow: bool,
    /// Jobs and calls that this turn may still run (count).
    left: usize,
    /// When this turn ends.
    until: Option<Instant>,
    wakes: BatchedWakes,
}

#[derive(Default)]
struct JobQueue {
    jobs: VecDeque<Work>,
    /// Jobs that this turn leaves to the next.
    later: Vec<Job>,
    /// Whether a turn is scheduled.
    announced: bool,
    /// Whether there is a byte that schedules a turn, or one is being written.
    by_byte: bool,
    closed: bool,
}

impl Bridge {
    /// Creates a bridge for an event loop; must be called on its thread.
    pub(crate) fn attach(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        let bridge = Arc::new(Self {
            queue: Mutex::default(),
            taken: Mutex::default(),
            steps: OnceLock::new(),
            wake: LoopWake::new()?,
            event_loop: event_loop.clone().unbind(),
            gathering: Mutex::default(),
            promises: Mutex::default(),
            on_loop_end: Mutex::default(),
            interruption: Mutex::default(),
        });
        let turn = Turn::new(&bridge, true).into_pyobject(py)?;
        bridge.wake.watch(event_loop, turn.into_any())?;
        Ok(bridge)
    }

    /// Sets what starts the calls of lanes, before the first lane.
    pub(crate) fn set_steps(&self, steps: Weak<dyn Steps>) {
        // A bridge has the calls of one manager.
        self.steps.set(steps).ok();
    }

    /// Sets a function to call if the event loop is closed while the bridge is attached.
    pub(crate) fn when_loop_ends(&self, end: impl FnOnce(Python<'_>) + Send + 'static) {
        *self.on_loop_end.lock() = Some(Box::new(end));
    }

    /// Whether the event loop is closed.
    pub(crate) fn is_loop_closed(&self, py: Python<'_>) -> bool {
        let is_closed = self.event_loop.call_method0(py, intern!(py, "is_closed"));
        is_closed.is_ok_and(|closed| closed.is_truthy(py).unwrap_or(true))
    }

    /// Whether the event loop runs, on any thread.
    pub(crate) fn is_loop_running(&self, py: Python<'_>) -> bool {
        let is_running = self.event_loop.call_method0(py, intern!(py, "is_running"));
        is_running.is_ok_and(|running| running.is_truthy(py).unwrap_or(false))
    }

    /// Whether another event loop runs on this thread.
    pub(crate) fn is_elsewhere(&self, py: Python<'_>) -> bool {
        running_loop(py).is_ok_and(|running| !running.is(&self.event_loop))
    }

    /// Calls a function on the thread of the event loop, or on this thread if the loop does not
    /// run.
    pub(crate) fn on_loop(
        &self,
        py: Python<'_>,
        function: impl FnOnce(Python<'_>) + Send + 'static,
    ) {
        let is_here = running_loop(py).is_ok_and(|running| running.is(&self.event_loop));
        if is_here || !self.is_loop_running(py) {
            return function(py);
        }
        let call = Call(Mutex::new(Some(Box::new(function))));
        let called = self
            .event_loop
            .call_method1(py, intern!(py, "call_soon_threadsafe"), (call,));
        if let Err(error) = called {
            tracing::debug!(name: "loop.ended", target: "fraiseql_subs", %error, "the event loop was closed before the manager");
        }
    }

    /// Whether it is detached.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().closed
    }

    /// Keeps a promise until it is completed or the bridge is detached.
    pub(crate) fn keep(self: &Arc<Self>, py: Python<'_>, promise: Promise, at_end: AtEnd) -> Kept {
        let mut promises = self.promises.lock();
        promises.last += 1;
        let id = promises.last;
        if promises.closed {
            drop(promises);
            promise.end(py, at_end, self.is_loop_closed(py), self);
        } else {
            promises.kept.insert(id, (promise, at_end));
        }
        Kept::new(self.clone(), id, at_end)
    }

    /// Removes and returns a kept promise.
    pub(crate) fn release(&self, id: u64) -> Option<Promise> {
        let kept = self.promises.lock().kept.remove(&id);
        kept.map(|(promise, _)| promise)
    }

    /// Makes the event loop raise an exception that ends the program.
    pub(crate) fn interrupt(&self, error: PyErr) {
        // Dropping an exception may run code of the application.
        let previous = self.interruption.lock().replace(error);
        drop(previous);
        // There may be no scheduled turn.
        self.push(Box::new(|_| {}));
    }

    /// Detaches from the event loop. Drops waiting and later jobs, and completes their awaited
    /// promises.
    pub(crate) fn detach(self: &Arc<Self>, py: Python<'_>) {
        let dropped = {
            let mut taken = self.taken.lock();
            let mut queue = self.queue.lock();
            queue.closed = true;
            (
                std::mem::take(&mut *taken),
                std::mem::take(&mut queue.jobs),
                std::mem::take(&mut queue.later),
            )
        };
        drop(dropped);
        let mut gathering = self.gathering.lock();
        gathering.is_open = false;
        send(gathering);
        let is_loop_closed = self.is_loop_closed(py);
        let kept = {
            let mut promises = self.promises.lock();
            promises.closed = true;
            std::mem::take(&mut promises.kept)
        };
        for (promise, at_end) in kept.into_values() {
            promise.end(py, at_end, is_loop_closed, self);
        }
        if is_loop_closed {
            // The event loop no longer watches the socket.
            return;
        }
        let bridge = self.clone();
        self.on_loop(py, move |py| {
            let event_loop = bridge.event_loop.bind(py);
            let removed = bridge.wake.unwatch(event_loop);
            if let Err(error) = removed {
                tracing::debug!(name: "loop.ended", target: "fraiseql_subs", %error, "the event loop was closed before the manager");
            }
        });
    }

    /// Handles that the event loop no longer watches the socket: it was closed, or the bridge was
    /// detached.
    fn unwatched(&self, py: Python<'_>) {
        if self.is_closed() {
            return;
        }
        let end = self.on_loop_end.lock().take();
        if let Some(end) = end {
            // An exception may already be set when an object is dropped.
            let raised = PyErr::take(py);
            end(py);
            if let Some(raised) = raised {
                raised.restore(py);
            }
        }
    }

    /// Returns the event loop.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.event_loop.bind(py)
    }

    /// Returns an address that identifies the event loop as long as this bridge exists.
    pub(crate) fn event_loop_address(&self) -> usize {
        self.event_loop.as_ptr() as usize
    }

    /// Queues a job, from any thread. Drops it if the bridge is detached.
    ///
    /// The number of jobs is bounded: one for each lane, one for each cancelled call, and one for
    /// each awaiting call from Python.
    pub(crate) fn push(&self, job: Job) {
        self.push_all(std::iter::once(Work::Job(job)));
    }

    /// As [`Self::push`], for the next call of each lane.
    pub(crate) fn push_lanes(&self, lanes: impl IntoIterator<Item = Arc<Lane>>) {
        self.push_all(lanes.into_iter().map(Work::Step));
    }

    fn push_all(&self, work: impl Iterator<Item = Work>) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return work.for_each(drop);
        }
        queue.jobs.extend(work);
        if !queue.announced {
            drop(queue);
            self.announce_by_byte();
        }
    }

    /// Queues a job for the next turn, from a job of this turn.
    pub(crate) fn push_later(&self, job: Job) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return drop(job);
        }
        queue.later.push(job);
    }

    /// Queues a job from the event loop's own thread, without a wake-up.
    pub(crate) fn push_here(self: &Arc<Self>, py: Python<'_>, job: Job) {
        self.add_here(py, Work::Job(job));
    }

    /// As [`Self::push_here`], for the next call of a lane.
    pub(crate) fn push_lane_here(self: &Arc<Self>, py: Python<'_>, lane: Arc<Lane>) {
        self.add_here(py, Work::Step(lane));
    }

    fn add_here(self: &Arc<Self>, py: Python<'_>, work: Work) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return drop(work);
        }
        queue.jobs.push_back(work);
        if !std::mem::replace(&mut queue.announced, true) {
            drop(queue);
            self.announce(py);
        }
    }

    /// Schedules a turn, on the event loop's own thread.
    fn announce(self: &Arc<Self>, py: Python<'_>) {
        let Err(error) = self.call_soon(py) else {
            return;
        };
        // A signal handler may have raised inside the call, so it is unknown whether the turn was
        // scheduled.
        self.announce_by_byte();
        self.failed(py, error);
    }

    fn call_soon(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let turn = Turn::new(self, false).into_pyobject(py)?;
        let event_loop = self.event_loop.bind(py);
        event_loop.call_method1(intern!(py, "call_soon"), (turn,))?;
        Ok(())
    }

    /// Schedules a turn that reads a byte. There is at most one unread byte, so there is room for
    /// it.
    fn announce_by_byte(&self) {
        let mut queue = self.queue.lock();
        queue.announced = true;
        if !std::mem::replace(&mut queue.by_byte, true) {
            drop(queue);
            self.wake.wake();
        }
    }

    /// Reads the byte that has scheduled a turn. A turn that was scheduled otherwise may run before the
    /// byte is written: then it is left to the turn that follows from it.
    fn read_byte(&self) {
        if self.queue.lock().by_byte && self.wake.take() {
            self.queue.lock().by_byte = false;
        }
    }

    /// Handles an exception without a caller: the next turn raises it if it ends the program;
    /// otherwise it is written to stderr.
    pub(crate) fn failed(&self, py: Python<'_>, error: PyErr) {
        if is_exit(py, &error) {
            self.interrupt(error);
        } else {
            error.write_unraisable(py, None);
        }
    }

    /// Runs `function` on the event loop's thread, unless its receiver was dropped; the receiver
    /// fails if the function never runs.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce(Python<'_>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.push(Box::new(move |py| {
            if !reply.is_closed() {
                // Fails only if the receiver was dropped.
                reply.send(function(py)).ok();
            }
        }));
        answer
    }

    /// Wakes an actor: inside a turn, and in the first steps of the tasks that it created, together
    /// with others; otherwise at once.
    pub(crate) fn wake(&self, wake: Wake) {
        let mut gathering = self.gathering.lock();
        if !gathering.is_open {
            drop(gathering);
            return wake.now();
        }
        gathering.wakes.add(wake);
        if gathering.wakes.len() >= WAKE_BATCH {
            send(gathering);
        }
    }

    /// Records that this turn created a task that has not run yet, so that another turn follows it.
    pub(crate) fn task_follows(&self) {
        self.gathering.lock().tasks_follow = true;
    }

    /// Counts a job or a call of this turn. Returns whether there is time for another one.
    pub(crate) fn goes_on(&self) -> bool {
        let mut gathering = self.gathering.lock();
        gathering.left = gathering.left.saturating_sub(1);
        gathering.left > 0 && gathering.until.is_some_and(|until| Instant::now() < until)
    }

    /// Removes and returns what comes next.
    fn next(&self) -> Option<Work> {
        let mut taken = self.taken.lock();
        if taken.is_empty() {
            std::mem::swap(&mut *taken, &mut self.queue.lock().jobs);
        }
        taken.pop_front()
    }

    fn turn(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let mut gathering = self.gathering.lock();
        gathering.is_open = true;
        gathering.left = BATCH;
        gathering.until = Some(Instant::now() + TURN);
        send(gathering);
        let mut end = TurnEnd {
            bridge: self,
            is_followed: false,
            is_whole: false,
        };
        self.read_byte();
        let steps = self.steps.get().and_then(Weak::upgrade);
        while let Some(work) = self.next() {
            match work {
                Work::Job(job) => job(py),
                Work::Step(lane) => {
                    if let Some(steps) = &steps {
                        steps.clone().step(py, &lane);
                    }
                }
            }
            if !self.goes_on() {
                break;
            }
        }
        let tasks_follow = std::mem::take(&mut self.gathering.lock().tasks_follow);
        let is_cut_short = !self.taken.lock().is_empty();
        let mut queue = self.queue.lock();
        let later = std::mem::take(&mut queue.later);
        queue.jobs.extend(later.into_iter().map(Work::Job));
        let is_followed = is_cut_short || !queue.jobs.is_empty() || tasks_follow;
        queue.announced = is_followed && !queue.closed;
        let is_announced = queue.announced;
        drop(queue);
        end.is_whole = true;
        if is_announced {
            end.is_followed = tasks_follow;
            self.announce(py);
        }
        self.interruption.lock().take().map_or(Ok(()), Err)
    }
}

/// Wakes the remaining actors at the end of a turn. After a panic, schedules another turn.
struct TurnEnd<'b> {
    bridge: &'b Bridge,
    is_followed: bool,
    /// Whether the turn has reached its end.
    is_whole: bool,
}

impl Drop for TurnEnd<'_> {
    fn drop(&mut self) {
        let mut gathering = self.bridge.gathering.lock();
        gathering.is_open = self.is_followed;
        send(gathering);
        if !self.is_whole {
            self.bridge.announce_by_byte();
        }
    }
}

fn send(mut gathering: MutexGuard<'_, Gathering>) {
    if !gathering.wakes.is_empty() {
        let wakes = std::mem::take(&mut gathering.wakes);
        drop(gathering);
        wakes.send();
    }
}

/// The callback of the event loop for jobs.
#[pyclass(frozen)]
struct Turn {
    bridge: Arc<Bridge>,
    /// Whether the loop calls it for each byte on the socket, as opposed to once.
    is_watching: bool,
}

impl Turn {
    fn new(bridge: &Arc<Bridge>, is_watching: bool) -> Self {
        Self {
            bridge: bridge.clone(),
            is_watching,
        }
    }
}

#[pymethods]
impl Turn {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.bridge.turn(py)
    }
}

impl Drop for Turn {
    /// Detects that the event loop was closed. A closed loop drops its callbacks; asyncio has no
    /// other notification for it.
    fn drop(&mut self) {
        if self.is_watching {
            Python::attach(|py| self.bridge.unwatched(py));
        }
    }
}

/// A callback that an event loop calls once.
#[pyclass(frozen)]
struct Call(Mutex<Option<Job>>);

#[pymethods]
impl Call {
    fn __call__(&self, py: Python<'_>) {
        let function = self.0.lock().take();
        if let Some(function) = function {
            function(py);
        }
    }
}
