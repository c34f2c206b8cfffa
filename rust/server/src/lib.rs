//! The embedded actix-web server: sockets in, sockets out.
//!
//! Not here: what a message means (`protocol`), what it starts (`runtime`).

mod messages;
mod server;
mod tls;
mod websocket;

pub use server::{Server, ServerConfig, ServerError};
pub use tls::{Tls, TlsError};
