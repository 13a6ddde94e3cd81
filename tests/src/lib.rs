//! Harness for the end-to-end tests: the real binaries on free ports, servers of other people's
//! making, and real sound through a private audio server.
//!
//! Everything here panics with words when something is wrong, because a test has no better answer.
//! Nothing waits without a limit: a hang becomes a failure that says what was waited for.

pub mod analysis;
pub mod attacks;
pub mod bad_sink;
pub mod bare_echo;
pub mod bare_ticker;
pub mod cpu;
pub mod device_pairs;
pub mod dying_terminal;
pub mod heard_call;
pub mod json_schema;
pub mod lab;
pub mod memory;
pub mod network;
pub mod playout_line;
pub mod proxy;
pub mod python;
pub mod raw_codec;
pub mod raw_http2;
pub mod rig;
pub mod scripted_far_end;
pub mod scripted_ticker;
pub mod signals;
pub mod stall_watch;
pub mod subscriber;
pub mod tally;
pub mod terminal;
pub mod wav_variants;

mod binaries;
mod in_process;
mod pesq;
mod process;
mod run_delay;
mod server;
mod tape;

pub use binaries::{bin, unit_tests};
pub use pesq::pesq;
pub use process::{Output, Process, run, send_signal as signal};
pub use server::Server;
pub use tape::Tape;

/// A port of 127.0.0.1 at which nobody listens, for tests of a server that is not there. A server
/// that shall listen is started on port 0 instead.
///
/// # Panics
///
/// When the machine has no free port.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener
        .local_addr()
        .expect("a bound socket has an address");
    addr.port()
}

/// Says that a test did not run, and why. The caller returns after it.
///
/// # Panics
///
/// When `CI` is `true`: there, nothing may be skipped.
pub fn skip(reason: &str) {
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(
        !in_ci,
        "nothing may be skipped in CI, and this would be: {reason}"
    );
    println!("skipped: {reason}");
}
