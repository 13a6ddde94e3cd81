//! What this program itself says to a PulseAudio server (or to PipeWire, which speaks the protocol):
//! questions that cpal does not ask, and streams.
//!
//! `cookie` is what a client shows, `connection` sends a command and waits for its answer, `server` asks about devices, `stream` is
//! a stream with a thread and a connection of its own, `timing` reckons when its samples are heard.
//!
//! cpal's streams ask the server for their latency after each of up to 2,000 deliveries a second,
//! and for buffers with which a server works in blocks of half a millisecond; and the client that
//! they are made of clears a megabyte before each read. Together that is a third of a core.

mod connection;
pub(super) mod cookie;
mod server;
mod stream;
mod timing;

pub(super) use server::PulseServer;
pub(super) use stream::{PulseConfig, PulseStream};
