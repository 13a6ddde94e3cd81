//! Signals that ask a program to end.
//!
//! One that was ignored when the program was started stays ignored: so `nohup` and a script's `&`
//! tell it that the terminal's end, or a Ctrl-C meant for another, is none of its business.

use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

/// What a signal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: from a service manager or `kill`.
    Terminate,
    /// SIGHUP: the terminal has gone.
    HangUp,
}

/// A signal that is listened to from the moment of [`SignalListener::new`] on, so that none is
/// missed between two waits.
#[derive(Debug)]
pub struct SignalListener {
    /// `None`: it is ignored, or the system has no such signal.
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
    #[cfg(windows)]
    signal: Option<tokio::signal::windows::CtrlC>,
}

impl SignalListener {
    /// Takes the signal from now on, unless it [`is_ignored`].
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new(signal: EndSignal) -> io::Result<Self> {
        let signal = match is_ignored(signal) {
            true => None,
            false => listen(signal)?,
        };
        Ok(Self { signal })
    }

    /// Returns when it comes; never, where it is ignored. May be dropped while it waits.
    pub async fn recv(&mut self) {
        poll_fn(|context| self.poll_recv(context)).await;
    }

    /// The same for whoever waits for several.
    pub fn poll_recv(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.signal {
            Some(signal) => signal.poll_recv(context).map(|_| ()),
            None => Poll::Pending,
        }
    }
}

#[cfg(unix)]
fn listen(signal: EndSignal) -> io::Result<Option<tokio::signal::unix::Signal>> {
    tokio::signal::unix::signal(kind(signal)).map(Some)
}

#[cfg(windows)]
fn listen(signal: EndSignal) -> io::Result<Option<tokio::signal::windows::CtrlC>> {
    match signal {
        EndSignal::Interrupt => tokio::signal::windows::ctrl_c().map(Some),
        EndSignal::Terminate | EndSignal::HangUp => Ok(None),
    }
}

#[cfg(unix)]
fn kind(signal: EndSignal) -> tokio::signal::unix::SignalKind {
    use tokio::signal::unix::SignalKind;
    match signal {
        EndSignal::Interrupt => SignalKind::interrupt(),
        EndSignal::Terminate => SignalKind::terminate(),
        EndSignal::HangUp => SignalKind::hangup(),
    }
}

/// Whether whoever started the program wants it to ignore the signal. Once somebody listens to it,
/// it is not ignored any more.
///
/// Only Linux tells without code that is unsafe; elsewhere nothing counts as ignored.
pub fn is_ignored(signal: EndSignal) -> bool {
    #[cfg(target_os = "linux")]
    return is_number_ignored(kind(signal).as_raw_value());
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = signal;
        false
    };
}

/// The same of any signal, by its number.
#[cfg(target_os = "linux")]
pub(crate) fn is_number_ignored(number: i32) -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|status| ignored_mask(&status) & (1 << (number - 1)) != 0)
}

/// The signals of the line `SigIgn` of `/proc/PID/status`: bit 0 is signal 1.
#[cfg(target_os = "linux")]
fn ignored_mask(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_mask_of_ignored_signals_is_found_among_the_others() {
        let status = "Name:\tx\nSigBlk:\t0000000000000004\nSigIgn:\t0000000000001003\nSigCgt:\t0\n";
        assert_eq!(ignored_mask(status), 0x1003);
        assert_eq!(ignored_mask("Name:\tx\n"), 0);
        // The library of the language ignores it for every program.
        assert!(is_number_ignored(rustix::process::Signal::PIPE.as_raw()));
    }
}
