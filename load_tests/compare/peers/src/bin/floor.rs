//! The floor: one thread that writes a ready frame to every subscribed socket, one `write` each.
//!
//! It knows of HTTP, WebSocket and graphql-transport-ws what the load client needs, parses no
//! GraphQL and answers every subscription with the event's data as published, filtered by the
//! variable `key`. What another server costs beyond this is its own work and not the kernel's. With
//! `--bus` the same lines come from a channel of Redis. With `--hand-over` another thread receives
//! the events and wakes this one: the least that a server costs whose events enter on another thread.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use peers::{Options, Published};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha1::{Digest, Sha1};

const CLIENTS: Token = Token(0);
const CONTROL: Token = Token(1);
const EVENTS: Token = Token(2);
const FIRST: usize = 3;

/// The channel of Redis, as a command of its protocol.
const SUBSCRIBE: &[u8] = b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nfeed\r\n";

/// What a subscription of `snapshot` gets at once; no event follows.
const SNAPSHOT: &str = concat!(
    r#"{"sequence":0,"sentAt":0,"key":null,"note":""#,
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    r#""}"#
);

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// What is connected.
enum Kind {
    /// A client that has not sent all of its handshake.
    Handshake,
    Client,
    Publisher,
    /// Each message that it delivers is what a publisher writes as a line.
    Redis,
}

struct Peer {
    socket: TcpStream,
    kind: Kind,
    received: Vec<u8>,
    /// What the socket did not take.
    pending: Vec<u8>,
}

/// A message of a client.
#[derive(Deserialize)]
struct Message<'a> {
    r#type: &'a str,
    id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Subscribe {
    #[serde(default)]
    query: String,
    #[serde(default)]
    variables: Variables,
}

#[derive(Default, Deserialize)]
struct Variables {
    key: Option<i64>,
}

#[derive(Deserialize)]
struct Keyed {
    key: Option<i64>,
}

struct Floor {
    peers: Vec<Option<Peer>>,
    /// Sockets by what they subscribed with and by the id they chose: equal ids share a frame.
    subscribed: HashMap<Option<i64>, HashMap<String, Vec<usize>>>,
}

fn main() -> io::Result<()> {
    let options = Options::parse(std::env::args().skip(1)).map_err(io::Error::other)?;
    let mut poll = Poll::new()?;
    let mut clients = TcpListener::bind(options.address)?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut clients, CLIENTS, Interest::READABLE)?;
    let mut floor = Floor {
        peers: Vec::new(),
        subscribed: HashMap::new(),
    };
    let mut received = Vec::new();
    let mut handed_over = None;
    let mut control = None;
    if options.hand_over {
        let waker = Waker::new(&registry, EVENTS)?;
        let (sender, receiver) = mpsc::channel();
        handed_over = Some(receiver);
        if let Some(address) = options.redis {
            let socket = subscribe(address)?;
            thread::spawn(move || pass_on(socket, &sender, &waker));
        } else if let Some(address) = options.control {
            let publishers = std::net::TcpListener::bind(address)?;
            // One is served after the other.
            thread::spawn(move || {
                for publisher in publishers.incoming() {
                    pass_on(publisher?, &sender, &waker)?;
                }
                io::Result::Ok(())
            });
        }
    } else if let Some(address) = options.redis {
        let socket = subscribe(address)?;
        socket.set_nonblocking(true)?;
        floor.add(TcpStream::from_std(socket), &registry, Kind::Redis)?;
    } else if let Some(address) = options.control {
        let listener = control.insert(TcpListener::bind(address)?);
        registry.register(listener, CONTROL, Interest::READABLE)?;
    }
    println!("ready");
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            match event.token() {
                CLIENTS => floor.accept(&clients, &registry, || Kind::Handshake)?,
                CONTROL => {
                    if let Some(control) = &control {
                        floor.accept(control, &registry, || Kind::Publisher)?;
                    }
                }
                EVENTS => {
                    for bytes in handed_over.iter().flat_map(mpsc::Receiver::try_iter) {
                        received.extend_from_slice(&bytes);
                        match options.redis {
                            Some(_) => floor.deliver(&mut received)?,
                            None => floor.publish(&mut received)?,
                        }
                    }
                }
                Token(token) => floor.serve(token - FIRST, event.is_writable()),
            }
        }
    }
}

/// Connects to Redis, and subscribes to the channel.
fn subscribe(address: SocketAddr) -> io::Result<std::net::TcpStream> {
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.write_all(SUBSCRIBE)?;
    Ok(socket)
}

/// Hands over what a socket receives until it ends, and wakes the thread that writes it to clients.
fn pass_on(
    mut socket: std::net::TcpStream,
    to: &mpsc::Sender<Vec<u8>>,
    waker: &Waker,
) -> io::Result<()> {
    let mut buffer = [0; 1 << 14];
    loop {
        let count = socket.read(&mut buffer)?;
        if count == 0 || to.send(buffer[..count].to_vec()).is_err() {
            return Ok(());
        }
        waker.wake()?;
    }
}

impl Floor {
    fn accept(
        &mut self,
        listener: &TcpListener,
        registry: &Registry,
        kind: fn() -> Kind,
    ) -> io::Result<()> {
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.add(socket, registry, kind())?;
        }
    }

    fn add(&mut self, mut socket: TcpStream, registry: &Registry, kind: Kind) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let token = Token(FIRST + self.peers.len());
        registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
        self.peers.push(Some(Peer {
            socket,
            kind,
            received: Vec::new(),
            pending: Vec::new(),
        }));
        Ok(())
    }

    /// Does what a socket that is ready asks for; one that has failed or ended is forgotten.
    fn serve(&mut self, number: usize, is_writable: bool) {
        // Taken out while it is served, as a publisher's events go to all others.
        let Some(mut peer) = self.peers[number].take() else {
            return;
        };
        let flushed = !is_writable || peer.flush().is_ok();
        let is_open = flushed && peer.fill();
        let understood = match peer.kind {
            Kind::Publisher => self.publish(&mut peer.received),
            Kind::Redis => self.deliver(&mut peer.received),
            _ => self.answer(number, &mut peer),
        };
        match understood {
            Ok(()) if is_open => self.peers[number] = Some(peer),
            Ok(()) => self.forget(number),
            Err(error) => {
                if error.kind() != ErrorKind::ConnectionAborted {
                    eprintln!("socket {number}: {error}");
                }
                self.forget(number);
            }
        }
    }

    fn forget(&mut self, number: usize) {
        for sockets in self.subscribed.values_mut().flat_map(HashMap::values_mut) {
            sockets.retain(|&socket| socket != number);
        }
    }

    /// Writes each whole line to the sockets that subscribed to it.
    fn publish(&mut self, received: &mut Vec<u8>) -> io::Result<()> {
        let Some(end) = received.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(());
        };
        let rest = received.split_off(end + 1);
        for line in received
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            self.write_event(line)?;
        }
        *received = rest;
        Ok(())
    }

    /// Writes each whole message of Redis to the sockets that subscribed to it.
    fn deliver(&mut self, received: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = &received[..];
        while let Some((parts, after)) = take_push(rest) {
            if let [b"message", _, line] = parts[..] {
                self.write_event(line)?;
            }
            rest = after;
        }
        let taken = received.len() - rest.len();
        received.drain(..taken);
        Ok(())
    }

    fn write_event(&mut self, line: &[u8]) -> io::Result<()> {
        let data = serde_json::from_slice::<Published<&RawValue>>(line)?.data;
        let key = serde_json::from_str::<Keyed>(data.get())?.key;
        self.write_to_all(None, data);
        if key.is_some() {
            self.write_to_all(key, data);
        }
        Ok(())
    }

    fn write_to_all(&mut self, key: Option<i64>, data: &RawValue) {
        for (id, sockets) in self.subscribed.get(&key).into_iter().flatten() {
            let frame = result(id, "feed", data.get());
            for &socket in sockets {
                // A socket that fails is forgotten when it is reported as ready.
                if let Some(peer) = &mut self.peers[socket] {
                    let _ = peer.write(&frame);
                }
            }
        }
    }

    /// Answers a handshake and each whole frame.
    fn answer(&mut self, number: usize, peer: &mut Peer) -> io::Result<()> {
        if matches!(peer.kind, Kind::Handshake) {
            let Some(end) = find(&peer.received, b"\r\n\r\n") else {
                return Ok(());
            };
            let head: Vec<u8> = peer.received.drain(..end + 4).collect();
            peer.write(handshake(&String::from_utf8_lossy(&head))?.as_bytes())?;
            peer.kind = Kind::Client;
        }
        while let Some((opcode, payload)) = take_frame(&mut peer.received)? {
            match opcode {
                TEXT => self.obey(number, peer, &payload)?,
                PING => peer.write(&frame(PONG, &payload))?,
                CLOSE => return Err(io::Error::from(ErrorKind::ConnectionAborted)),
                _ => {}
            }
        }
        Ok(())
    }

    fn obey(&mut self, number: usize, peer: &mut Peer, text: &[u8]) -> io::Result<()> {
        let message: Message<'_> = serde_json::from_slice(text)?;
        match (message.r#type, message.id) {
            ("connection_init", _) => peer.write(&frame(TEXT, br#"{"type":"connection_ack"}"#)),
            ("ping", _) => peer.write(&frame(TEXT, br#"{"type":"pong"}"#)),
            ("subscribe", Some(id)) => {
                let payload = message.payload.map_or("{}", RawValue::get);
                let asked = serde_json::from_str::<Subscribe>(payload)?;
                if asked.query.contains("snapshot") {
                    return peer.write(&result(&id, "snapshot", SNAPSHOT));
                }
                let key = asked.variables.key;
                let ids = self.subscribed.entry(key).or_default();
                ids.entry(id).or_default().push(number);
                Ok(())
            }
            ("complete", Some(id)) => {
                for ids in self.subscribed.values_mut() {
                    if let Some(sockets) = ids.get_mut(&id) {
                        sockets.retain(|&socket| socket != number);
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Peer {
    /// Reads all there is; false when the other side has ended.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 1 << 14];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.pending.is_empty() {
            match self.socket.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                result => result?,
            }
        } else {
            0
        };
        self.pending.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.socket.write(&self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn handshake(head: &str) -> io::Result<String> {
    let key = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim())
        .ok_or_else(|| io::Error::other("a handshake without Sec-WebSocket-Key"))?;
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
        BASE64.encode(digest)
    ))
}

/// The frame of a result, from the JSON of its field.
fn result(id: &str, field: &str, data: &str) -> Vec<u8> {
    let id = serde_json::Value::from(id);
    let text = format!(r#"{{"id":{id},"type":"next","payload":{{"data":{{"{field}":{data}}}}}}}"#);
    frame(TEXT, text.as_bytes())
}

/// A frame of a server: final and without a mask.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ ..126 => frame.push(short as u8),
        medium @ ..65_536 => {
            frame.push(126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// Takes the first frame of a client when it is there as a whole; messages in pieces are refused.
fn take_frame(received: &mut Vec<u8>) -> io::Result<Option<(u8, Vec<u8>)>> {
    let [first, second, ..] = received[..] else {
        return Ok(None);
    };
    if first & 0x80 == 0 || second & 0x80 == 0 {
        return Err(io::Error::other("a frame in pieces, or without a mask"));
    }
    let extended = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(bytes) = received.get(2..2 + extended) else {
        return Ok(None);
    };
    let length = match extended {
        0 => usize::from(second & 0x7F),
        _ => bytes
            .iter()
            .fold(0, |length, &byte| length << 8 | usize::from(byte)),
    };
    let start = 2 + extended + 4;
    let Some(masked) = start
        .checked_add(length)
        .and_then(|end| received.get(start..end))
    else {
        return Ok(None);
    };
    let mask = &received[start - 4..start];
    let payload = masked
        .iter()
        .zip(mask.iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    received.drain(..start + length);
    Ok(Some((first & 0x0F, payload)))
}

/// Takes the first array of Redis' protocol when it is there as a whole: its strings, and what
/// follows. A number has no string.
fn take_push(bytes: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = take_number(bytes)?;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        let is_string = rest.first() == Some(&b'$');
        let (number, after) = take_number(rest)?;
        let length = if is_string { number } else { 0 };
        parts.push(after.get(..length)?);
        rest = if is_string {
            after.get(length + 2..)?
        } else {
            after
        };
    }
    Some((parts, rest))
}

/// Takes a line such as `$12`: its number, and what follows.
fn take_number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let end = find(bytes, b"\r\n")?;
    let number = std::str::from_utf8(bytes.get(1..end)?).ok()?.parse().ok()?;
    Some((number, &bytes[end + 2..]))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
