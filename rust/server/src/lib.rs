//! The embedded actix-web server: sockets, HTTP and WebSocket frames.
//!
//! Not here: messages of the protocols (`protocol`), operations (`runtime`).
//!
//! # Layout
//!
//! - `server`, `worker`, `application`, `service`, `listen`, `handover`, `tls`: binding, threads, the service
//!   of one connection;
//! - `socket`, `deadline`, `turn`, `watched`, `wire`, `scan`, `linger`, `write_through`: the bytes of one connection and
//!   their bounds;
//! - `head`, `http`, `expectation`, `status`, `gather`: requests, and responses part by part;
//! - `forwarded`, `preface`, `proxy_header`: the client behind proxies;
//! - `publish`: requests of programs that publish events;
//! - `http2`, `allowance`: HTTP/2, and limits of useless frames;
//! - `handshake`, `websocket`, `socket_task`, `ws_messages`, `ws_decoder`, `ws_encoder`, `ws_frame`:
//!   WebSockets;
//! - `ws_extension`, `deflate`, `inflate`: compressed messages of WebSockets;
//! - `causes`, `descriptors`: error texts for errors of libraries; detection of exhausted file
//!   descriptors.

mod allowance;
mod application;
mod causes;
mod deadline;
mod deflate;
mod descriptors;
mod expectation;
mod forwarded;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
#[cfg_attr(not(unix), path = "handover_elsewhere.rs")]
mod handover;
mod handshake;
mod head;
mod http;
mod http2;
mod inflate;
mod linger;
mod listen;
mod newcomers;
mod preface;
mod proxy_header;
mod publish;
mod scan;
mod server;
mod service;
mod socket;
mod socket_task;
mod status;
mod tls;
mod turn;
mod watched;
mod websocket;
mod wire;
mod worker;
mod write_through;
mod ws_decoder;
mod ws_encoder;
mod ws_extension;
mod ws_frame;
mod ws_messages;

pub use forwarded::{ProxyError, TrustedProxies};
pub use handover::{Handover, Taken};
pub use listen::{Address, Endpoint};
pub use publish::PublishRoute;
pub use server::{Routes, Server, ServerConfig, ServerError, SiteConfig};
pub use tls::{Tls, TlsError};
