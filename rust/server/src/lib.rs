//! The embedded actix-web server: sockets in, sockets out.
//!
//! Not here: what a message means (`protocol`), what it starts (`runtime`).

mod allowance;
mod application;
mod causes;
mod deadline;
mod descriptors;
mod expectation;
#[doc(hidden)]
pub mod fuzzing;
mod gather;
mod handshake;
mod head;
mod http;
mod http2;
mod linger;
mod listen;
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
mod ws_frame;

pub use listen::{Address, Endpoint};
pub use server::{Server, ServerConfig, ServerError};
pub use tls::{Tls, TlsError};
