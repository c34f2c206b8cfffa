//! The way from the actors' threads to one asyncio event loop.
//!
//! Jobs of all threads gather in one queue. The first one into an empty queue writes a byte to a
//! socket that the loop watches (`add_reader`), so no thread but the loop's own ever takes the
//! GIL, and a batch of jobs costs one wake-up.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use pyo3::intern;
use pyo3::prelude::*;
use runtime::{Wake, Wakes};
use tokio::sync::oneshot;

/// Jobs in one turn of the event loop (count). The loop serves others between two turns.
const BATCH: usize = 256;

/// Time of one turn; looked at between two jobs. What is left then waits for the next one.
const TURN: Duration = Duration::from_millis(2);

/// Actors that are woken together (count), at the latest when the turn ends.
const WAKE_BATCH: usize = 32;

/// Something to do on the thread of the event loop.
pub(crate) type Job = Box<dyn FnOnce(Python<'_>) + Send>;

/// The queue in front of one event loop.
pub(crate) struct Bridge {
    queue: Mutex<Queue>,
    wake: UnixStream,
    woken: UnixStream,
    event_loop: Py<PyAny>,
    /// Used on the event loop's thread only.
    gathering: Mutex<Gathering>,
}

/// Actors that have something to take, woken together.
#[derive(Default)]
struct Gathering {
    /// Whether a turn is under way, or comes right after the tasks that the last one made.
    is_open: bool,
    /// Whether this turn made tasks whose first step comes after it.
    tasks_follow: bool,
    wakes: Wakes,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether a turn is on its way.
    announced: bool,
    /// Whether it was announced by a byte, which it has to read.
    by_byte: bool,
    closed: bool,
}

impl Bridge {
    /// Attaches to an event loop; must be called on its thread.
    pub(crate) fn attach(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let bridge = Arc::new(Self {
            queue: Mutex::default(),
            wake,
            woken,
            event_loop: event_loop.clone().unbind(),
            gathering: Mutex::default(),
        });
        let turn = Turn(bridge.clone()).into_pyobject(py)?;
        event_loop.call_method1("add_reader", (bridge.woken.as_raw_fd(), turn))?;
        Ok(bridge)
    }

    /// Gives the event loop free. Jobs that wait are dropped, later ones too.
    pub(crate) fn detach(&self, py: Python<'_>) {
        let dropped = {
            let mut queue = self.queue.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        drop(dropped);
        let mut gathering = self.gathering.lock();
        gathering.is_open = false;
        send(gathering);
        // A loop that is closed watches nothing any more.
        let event_loop = self.event_loop.bind(py);
        if let Err(error) = event_loop.call_method1("remove_reader", (self.woken.as_raw_fd(),)) {
            tracing::debug!(%error, "the event loop was closed before the manager");
        }
    }

    /// The event loop.
    pub(crate) fn event_loop<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.event_loop.bind(py)
    }

    /// Queues a job, from any thread. Dropped when the bridge is detached.
    ///
    /// Every job belongs to something that is bounded itself: one to each lane, one to each call
    /// that is cancelled, an answer to a call from Python that awaits it.
    pub(crate) fn push(&self, job: Job) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return drop(job);
        }
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.announced, true) {
            queue.by_byte = true;
            drop(queue);
            // One byte at most is under way, so there is room for it.
            (&self.wake).write_all(&[1]).ok();
        }
    }

    /// Queues a job on the thread of the event loop itself, which needs no waking.
    pub(crate) fn push_here(self: &Arc<Self>, py: Python<'_>, job: Job) {
        let mut queue = self.queue.lock();
        if queue.closed {
            drop(queue);
            return drop(job);
        }
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.announced, true) {
            drop(queue);
            if let Err(error) = self.call_soon(py) {
                error.write_unraisable(py, None);
            }
        }
    }

    fn call_soon(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let turn = Turn(self.clone()).into_pyobject(py)?;
        let event_loop = self.event_loop.bind(py);
        event_loop.call_method1(intern!(py, "call_soon"), (turn,))?;
        Ok(())
    }

    /// Runs `function` on the event loop's thread; the receiver fails when it never ran.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        function: impl FnOnce(Python<'_>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        self.push(Box::new(move |py| {
            // Fails only when nobody waits any more.
            reply.send(function(py)).ok();
        }));
        answer
    }

    /// Wakes an actor: together with others in a turn and in the first steps of the tasks that it
    /// made, at once elsewhere.
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

    /// Notes that this turn made a task which has not run yet: another turn follows it.
    pub(crate) fn task_follows(&self) {
        self.gathering.lock().tasks_follow = true;
    }

    fn turn(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let started = Instant::now();
        let mut gathering = self.gathering.lock();
        gathering.is_open = true;
        send(gathering);
        let mut end = TurnEnd {
            bridge: self,
            is_followed: false,
        };
        if std::mem::take(&mut self.queue.lock().by_byte) {
            (&self.woken).read_exact(&mut [0]).ok();
        }
        for _ in 0..BATCH {
            let job = self.queue.lock().jobs.pop_front();
            let Some(job) = job else { break };
            job(py);
            if started.elapsed() > TURN {
                break;
            }
        }
        let tasks_follow = std::mem::take(&mut self.gathering.lock().tasks_follow);
        let mut queue = self.queue.lock();
        queue.announced = (!queue.jobs.is_empty() || tasks_follow) && !queue.closed;
        if queue.announced {
            drop(queue);
            self.call_soon(py)?;
            end.is_followed = tasks_follow;
        }
        Ok(())
    }
}

/// Wakes the last actors of a turn, also of one that fails.
struct TurnEnd<'b> {
    bridge: &'b Bridge,
    is_followed: bool,
}

impl Drop for TurnEnd<'_> {
    fn drop(&mut self) {
        let mut gathering = self.bridge.gathering.lock();
        gathering.is_open = self.is_followed;
        send(gathering);
    }
}

fn send(mut gathering: MutexGuard<'_, Gathering>) {
    if !gathering.wakes.is_empty() {
        let wakes = std::mem::take(&mut gathering.wakes);
        drop(gathering);
        wakes.send();
    }
}

/// What the event loop calls when there are jobs.
#[pyclass(frozen)]
struct Turn(Arc<Bridge>);

#[pymethods]
impl Turn {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        self.0.turn(py)
    }
}
