//! The attacks: each runs until it is told to end, and says what became of it.

mod floods;
mod pouring;

use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// One row of the table.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// More of the server's arguments.
    pub(crate) server: &'static [&'static str],
    /// Where what is looked for takes longer than a row usually does.
    pub(crate) min_seconds: u64,
    /// Half-way.
    pub(crate) stops_the_server: bool,
    pub(crate) counts_log_lines: bool,
    pub(crate) run: fn(SocketAddr, Instant) -> String,
}

const QUIET: &[&str] = &["--log", "error"];

impl Attack {
    const fn new(name: &'static str, run: fn(SocketAddr, Instant) -> String) -> Self {
        Self {
            name,
            server: QUIET,
            min_seconds: 1,
            stops_the_server: false,
            counts_log_lines: false,
            run,
        }
    }

    const fn server(self, server: &'static [&'static str]) -> Self {
        Self { server, ..self }
    }

    const fn seconds(self, min_seconds: u64) -> Self {
        Self {
            min_seconds,
            ..self
        }
    }
}

/// All of them, what they are compared with first.
pub(crate) const ATTACKS: [Attack; 30] = [
    Attack::new("idle", idle),
    Attack::new("unread-health", |a, u| floods::unread("health", a, u)),
    Attack::new("unread-unknown-path", |a, u| {
        floods::unread("unknown-path", a, u)
    }),
    Attack::new("unread-reflection", |a, u| {
        floods::unread("reflection", a, u)
    }),
    Attack::new("unread-empty-legs", |a, u| {
        floods::unread("empty-legs", a, u)
    }),
    Attack::new("unread-silent-legs", |a, u| {
        floods::unread("silent-legs", a, u)
    }),
    Attack::new("unread-pouring-legs", |a, u| {
        floods::unread("pouring-legs", a, u)
    }),
    Attack::new("unread-small-frames", floods::small_frames_of_a_byte),
    Attack::new("unread-silent-tickers", |a, u| {
        floods::unread("silent-tickers", a, u)
    }),
    Attack::new("unread-tickers", |a, u| floods::unread("tickers", a, u)),
    Attack::new("rapid-reset", |a, u| floods::unread("rapid-reset", a, u)),
    Attack::new("open-streams", floods::open_streams),
    Attack::new("pour-default", |a, u| pouring::legs("", 20, 1, a, u)),
    Attack::new("pour-default-20-connections", |a, u| {
        pouring::legs("", 20, 20, a, u)
    }),
    Attack::new("pour-denoise-x8", |a, u| {
        pouring::legs(
            "denoise,denoise,denoise,denoise,denoise,denoise,denoise,denoise",
            20,
            1,
            a,
            u,
        )
    }),
    Attack::new("pour-delay-x8", |a, u| {
        pouring::legs(
            "delay=2000,delay=2000,delay=2000,delay=2000,delay=2000,delay=2000,delay=2000,delay=2000",
            20,
            1,
            a,
            u,
        )
    }),
    Attack::new("pour-none", |a, u| pouring::legs("", 20, 1, a, u)).server(&[
        "--log",
        "error",
        "--effects",
        "none",
    ]),
    Attack::new("pour-none-20-connections", |a, u| {
        pouring::legs("", 20, 20, a, u)
    })
    .server(&["--log", "error", "--effects", "none"]),
    Attack::new("pour-opus-120ms-stereo", pouring::long_packets),
    Attack::new("pour-12-bots", pouring::bots).seconds(4),
    Attack::new("silent-sockets", |a, u| floods::silent(b"", a, u)).seconds(10),
    Attack::new("half-prefaces", |a, u| {
        floods::silent(&tests::raw_http2::PREFACE[..12], a, u)
    })
    .seconds(10),
    Attack::new("idle-connections", floods::idle_connections)
        .server(&["--log", "error", "--idle-timeout", "1s"])
        .seconds(12),
    Attack::new("flood-ping", |a, u| floods::frames("PING", a, u)),
    Attack::new("flood-settings", |a, u| floods::frames("SETTINGS", a, u)),
    Attack::new("flood-priority", |a, u| floods::frames("PRIORITY", a, u)),
    Attack::new("flood-unknown", |a, u| floods::frames("unknown", a, u)),
    Attack::new("flood-window-update", |a, u| {
        floods::frames("WINDOW_UPDATE", a, u)
    }),
    Attack {
        counts_log_lines: true,
        ..Attack::new("flood-log", floods::refused_legs).server(&["--log", "info"])
    },
    Attack {
        stops_the_server: true,
        ..Attack::new("sigterm-beside-unread", floods::sixteen_unread)
    },
];

fn idle(_: SocketAddr, until: Instant) -> String {
    thread::sleep(until.saturating_duration_since(Instant::now()));
    "nothing".to_owned()
}

/// Time that is left of an attack.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Counts by words, the commonest first.
#[derive(Debug, Default)]
struct Outcomes(BTreeMap<String, u64>);

impl Outcomes {
    fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    fn words(&self) -> String {
        let mut all: Vec<_> = self.0.iter().collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut words = String::new();
        for (what, count) in all.iter().take(4) {
            let comma = if words.is_empty() { "" } else { ", " };
            let _ = write!(words, "{comma}{count} × {what}");
        }
        words
    }
}
