//! All connections of a run on one thread: an epoll loop with one large buffer for every read.
//!
//! Not here: publishing (`run`), handling of messages (`client`).

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::client::{LoadClient, Record, Stage};
use crate::error::LoadError;
use crate::frames::{put_close, put_text};
use crate::options::Mode;
use crate::plan::{Plan, Role};
use crate::publisher::Publisher;
use crate::tls::TlsStream;

/// Size of one read (bytes); most sockets have less data, a slow server's backlog more.
const READ_BYTES: usize = 256 * 1024;

/// Sockets that one turn handles, so that due events are not delayed for long.
const EVENTS_PER_TURN: usize = 512;

/// Connections that one turn opens, so that the open ones are not delayed for long.
const OPENED_PER_TURN: u32 = 64;

/// Longest turn, which bounds the delay of an interruption.
const TURN: Duration = Duration::from_millis(100);

/// Receive buffer of a client that never reads (bytes); the system doubles it.
const SLOW_BUFFER_BYTES: usize = 4 * 1024;

const PUBLISHER: Token = Token(usize::MAX);

/// A client with its socket.
struct Slot {
    client: LoadClient,
    socket: TcpStream,
    tls: Option<TlsStream>,
    /// Whether it has stopped reading.
    paused: bool,
}

/// Numbers of connections by state (counts).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ConnectionCounts {
    /// Checked connections that have ended.
    pub(crate) ended: u32,
    /// Slow connections that the server has ended.
    pub(crate) slow_ended: u32,
    /// Disconnects of churning connections so far.
    pub(crate) left: u32,
}

/// All connections.
pub(crate) struct ConnectionDriver<'a> {
    plan: &'a Plan,
    poll: Poll,
    events: Events,
    slots: Vec<Option<Slot>>,
    roles: Vec<Role>,
    /// Connections that are not opened yet.
    queue: VecDeque<u32>,
    /// Connections that are being opened, and how many there may be.
    connecting: u32,
    max_connecting: u32,
    buffer: Vec<u8>,
    pub(crate) record: Record,
    pub(crate) publisher: Option<Publisher>,
    pub(crate) counts: ConnectionCounts,
    began: Instant,
    interrupted: &'a mut dyn FnMut() -> bool,
    asked: Instant,
}

impl<'a> ConnectionDriver<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        roles: Vec<Role>,
        record: Record,
        interrupted: &'a mut dyn FnMut() -> bool,
    ) -> Result<Self, LoadError> {
        let poll = Poll::new().map_err(LoadError::System)?;
        let now = Instant::now();
        Ok(Self {
            plan,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            slots: roles.iter().map(|_| None).collect(),
            queue: (0..roles.len() as u32).collect(),
            roles,
            connecting: 0,
            max_connecting: plan.options.connecting,
            buffer: vec![0; READ_BYTES],
            record,
            publisher: None,
            counts: ConnectionCounts::default(),
            began: now,
            interrupted,
            asked: now,
        })
    }

    /// Connects to where events are published, if the plan has such a place.
    pub(crate) fn with_publisher(mut self) -> Result<Self, LoadError> {
        if let Some(target) = &self.plan.publish {
            let registry = self
                .poll
                .registry()
                .try_clone()
                .map_err(LoadError::System)?;
            self.publisher = Some(Publisher::connect(target.clone(), registry, PUBLISHER)?);
        }
        Ok(self)
    }

    /// Opens all connections at once.
    pub(crate) fn all_at_once(mut self) -> Self {
        self.max_connecting = u32::MAX;
        self
    }

    /// Returns the time since the load began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the number of connections that are not acknowledged yet.
    pub(crate) fn unacknowledged(&self) -> u32 {
        self.queue.len() as u32 + self.connecting
    }

    pub(crate) fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Waits for socket events, at most for `timeout`, and handles them.
    pub(crate) fn turn(&mut self, timeout: Duration) -> Result<(), LoadError> {
        if self.asked.elapsed() >= TURN {
            self.asked = Instant::now();
            if (self.interrupted)() {
                return Err(LoadError::Interrupted);
            }
        }
        self.open()?;
        if let Some(publisher) = &mut self.publisher {
            publisher.flush()?;
        }
        let timeout = match self.may_open() {
            true => Duration::ZERO,
            false => timeout.min(TURN),
        };
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                return Err(LoadError::System(error));
            }
            _ => {}
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            if event.token() == PUBLISHER {
                if let Some(publisher) = &mut self.publisher {
                    publisher.read()?;
                }
            } else {
                self.happened(event);
            }
        }
        self.events = events;
        Ok(())
    }

    /// Closes a churning connection, if the server has not done so, and queues its reconnect.
    pub(crate) fn leave(&mut self, number: u32) {
        if let Some(mut slot) = self.slots[number as usize].take() {
            // Half of them close properly: users close a page, or lose their network.
            if self.counts.left.is_multiple_of(2) {
                slot.client.outgoing.clear();
                put_close(&mut slot.client.outgoing, 1000);
                let _ = slot.send();
            }
            self.connecting -= u32::from(!matches!(slot.client.stage, Stage::Subscribed));
            self.counts.left += 1;
        } else if self.queue.contains(&number) {
            return;
        }
        self.queue.push_back(number);
    }

    /// Closes all connections at once, without a close frame; the system keeps no trace of them.
    pub(crate) fn reset(self) {
        for slot in self.slots.into_iter().flatten() {
            let _ = SockRef::from(&slot.socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// Lets the slow clients read their data, to find the ones that the server has disconnected.
    pub(crate) fn wake_slow(&mut self) {
        for number in 0..self.slots.len() {
            if self.roles[number] == Role::Slow {
                if let Some(slot) = &mut self.slots[number] {
                    slot.paused = false;
                }
                self.read(number, true);
            }
        }
    }

    /// Whether a connection can be opened now.
    fn may_open(&self) -> bool {
        self.connecting < self.max_connecting && !self.queue.is_empty()
    }

    /// Opens connections up to the limit of concurrent ones.
    fn open(&mut self) -> Result<(), LoadError> {
        for _ in 0..OPENED_PER_TURN {
            if self.connecting >= self.max_connecting {
                break;
            }
            let Some(number) = self.queue.pop_front() else {
                break;
            };
            let opened = self.began.elapsed().as_micros() as u64;
            let role = self.roles[number as usize];
            let mut socket = connect(self.plan, number, role)?;
            self.poll
                .registry()
                .register(
                    &mut socket,
                    Token(number as usize),
                    Interest::READABLE | Interest::WRITABLE,
                )
                .map_err(LoadError::System)?;
            let subscriptions = self.plan.options.subscriptions;
            let client = LoadClient::new(
                number * subscriptions,
                subscriptions,
                opened,
                handshake(self.plan),
                subscribe(self.plan, number, role),
            );
            let tls = self.plan.tls.as_ref().map(crate::tls::Tls::connect);
            let tls = tls.transpose().map_err(LoadError::System)?;
            self.connecting += 1;
            self.slots[number as usize] = Some(Slot {
                client,
                socket,
                tls,
                paused: false,
            });
        }
        Ok(())
    }

    fn happened(&mut self, event: &Event) {
        let number = event.token().0;
        let Some(Some(slot)) = self.slots.get_mut(number) else {
            return;
        };
        if event.is_error() {
            let error = slot.socket.take_error().ok().flatten();
            let error = error.map_or_else(|| "for no reason".to_owned(), |e| e.to_string());
            self.end(number, format!("a connection broke: {error}"));
            return;
        }
        if event.is_writable() && slot.wants_write() {
            self.write(number);
        }
        let Some(Some(slot)) = self.slots.get_mut(number) else {
            return;
        };
        if slot.paused {
            if event.is_read_closed() {
                self.end(number, String::new());
            }
            return;
        }
        if event.is_readable() {
            self.read(number, event.is_read_closed());
        }
    }

    /// Reads available data; `closed` if no more will follow.
    fn read(&mut self, number: usize, closed: bool) {
        loop {
            let Some(Some(slot)) = self.slots.get_mut(number) else {
                return;
            };
            let length = match slot.socket.read(&mut self.buffer) {
                Ok(0) => {
                    let reason = "the server ended a connection without a close frame";
                    return self.end(number, reason.to_owned());
                }
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return self.end(number, format!("a connection broke: {error}")),
            };
            self.record.now = self.began.elapsed().as_micros() as u64;
            let acknowledged = matches!(slot.client.stage, Stage::Subscribed);
            self.record.received += length as u64;
            if let Err(error) = slot.take(&self.buffer[..length], &mut self.record) {
                return self.end(number, format!("a connection broke: {error}"));
            }
            if !acknowledged && matches!(slot.client.stage, Stage::Subscribed) {
                self.connecting -= 1;
                slot.paused = self.roles[number] == Role::Slow;
            }
            let paused = slot.paused;
            if let Some(reason) = slot.client.ended.take() {
                return self.end(number, reason);
            }
            if slot.wants_write() {
                self.write(number);
            }
            // A short read means that the socket is empty: further bytes cause a new event. An end
            // that was already received causes no further event.
            if paused || (length < READ_BYTES && !closed) {
                return;
            }
        }
    }

    fn write(&mut self, number: usize) {
        let Some(Some(slot)) = self.slots.get_mut(number) else {
            return;
        };
        while slot.wants_write() {
            match slot.send() {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not connected yet, or full: it becomes writable, or breaks.
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
                    ) =>
                {
                    return;
                }
                Err(error) => return self.end(number, format!("a connection broke: {error}")),
            }
        }
    }

    /// Handles that the other side has ended a connection.
    fn end(&mut self, number: usize, reason: String) {
        let Some(slot) = self.slots[number].take() else {
            return;
        };
        let _ = slot.socket.shutdown(Shutdown::Both);
        let acknowledged = matches!(slot.client.stage, Stage::Subscribed);
        self.connecting -= u32::from(!acknowledged);
        match self.roles[number] {
            Role::Slow if acknowledged => {
                self.counts.slow_ended += 1;
                if self.plan.options.mode == Mode::Mixed {
                    self.queue.push_back(number as u32);
                }
            }
            // A churning connection reconnects at its next scheduled disconnect.
            Role::Slow | Role::Churning => self.record.error(reason),
            Role::Broadcast | Role::Selective | Role::Storming => {
                self.record.error(reason);
                self.counts.ended += 1;
                for operation in slot.client.operations() {
                    self.record.tracker.end(operation);
                }
            }
        }
    }
}

impl Slot {
    fn wants_write(&self) -> bool {
        let tls = self.tls.as_ref();
        !self.client.outgoing.is_empty() || tls.is_some_and(TlsStream::wants_write)
    }

    /// Receives the bytes of a read.
    fn take(&mut self, bytes: &[u8], record: &mut Record) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            self.client.take(bytes, record);
            return Ok(());
        };
        let before = tls.is_resumed();
        tls.take(bytes, |plain| self.client.take(plain, record))?;
        if let (None, Some(is_resumed)) = (before, tls.is_resumed()) {
            record.arrivals.secured(is_resumed);
        }
        Ok(())
    }

    /// Sends bytes, as many as the socket accepts at once.
    fn send(&mut self) -> io::Result<()> {
        let outgoing = &mut self.client.outgoing;
        let Some(tls) = &mut self.tls else {
            let sent = self.socket.write(outgoing)?;
            outgoing.drain(..sent);
            if outgoing.is_empty() {
                *outgoing = Vec::new();
            }
            return Ok(());
        };
        tls.send(outgoing, &mut self.socket)
    }
}

/// Starts to connect.
fn connect(plan: &Plan, number: u32, role: Role) -> Result<TcpStream, LoadError> {
    let source = plan.source(number);
    let open = || -> io::Result<TcpStream> {
        let server = plan.server;
        let socket = Socket::new(
            Domain::for_address(server),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if role == Role::Slow {
            socket.set_recv_buffer_size(SLOW_BUFFER_BYTES)?;
        }
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&server.into()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && !is_in_progress(&error) => {
                return Err(error);
            }
            _ => {}
        }
        Ok(TcpStream::from_std(socket.into()))
    };
    open().map_err(|error| LoadError::Connect {
        server: plan.server,
        number,
        reason: match (error.kind(), source) {
            (io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse, _) => format!(
                "{error}: the client address has no port left, or is none of this machine; \
                set others by `--source`"
            ),
            (_, Some(source)) => format!("from {source}: {error}"),
            (_, None) => error.to_string(),
        },
    })
}

/// Whether a connection is only begun. Elsewhere than on Unix the error is `WouldBlock`.
#[cfg(unix)]
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

#[cfg(not(unix))]
fn is_in_progress(_error: &io::Error) -> bool {
    false
}

const COMPRESSION: &str = "Sec-WebSocket-Extensions: permessage-deflate; \
    server_no_context_takeover; client_no_context_takeover\r\n";

fn handshake(plan: &Plan) -> Vec<u8> {
    let key = BASE64_STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    let (path, host) = (&plan.path, &plan.host);
    let offer = if plan.options.compression {
        COMPRESSION
    } else {
        ""
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: graphql-transport-ws\r\n{offer}\r\n"
    )
    .into_bytes()
}

/// Returns the `subscribe` messages of a connection.
fn subscribe(plan: &Plan, number: u32, role: Role) -> Vec<u8> {
    let options = &plan.options;
    let query = match role {
        Role::Storming => options.storm_query.as_ref().unwrap_or(&options.query),
        _ => &options.query,
    };
    let query = serde_json::Value::from(query.as_str()).to_string();
    let (mut frames, mut message) = (Vec::new(), Vec::new());
    let variables = match (role, options.mode) {
        (Role::Storming, _) => &plan.storm_variables,
        (Role::Selective, _) => &plan.variables,
        (_, Mode::Mixed) => &plan.broadcast_variables,
        _ => &plan.variables,
    };
    for index in 0..plan.options.subscriptions {
        let subscription =
            u64::from(number) * u64::from(plan.options.subscriptions) + u64::from(index);
        message.clear();
        let id = index + 1;
        message.extend_from_slice(
            format!(r#"{{"id":"{id}","type":"subscribe","payload":{{"query":{query},"variables":"#)
                .as_bytes(),
        );
        variables.render(
            &[u64::from(number), subscription, u64::from(index)],
            &mut message,
        );
        message.extend_from_slice(b"}}");
        put_text(&mut frames, &message);
    }
    frames
}
