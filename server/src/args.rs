//! The command line of `server`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use audio::Effects;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use tracing_subscriber::EnvFilter;

use crate::{calls::MAX_LEGS_PER_CALL, quotes::MIN_TICK, transport::ListenAddress};

/// The call centre's server: LiveCall and the stock ticker on one port.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "server",
    version,
    about,
    after_help = "Examples:\n  \
        server                                     calls from this machine only\n  \
        server --listen :50051 --insecure          calls from the local network, unencrypted\n  \
        server --effects none                      echo without processing\n  \
        server --any-symbol                        quotes of symbols that are not listed, too\n  \
        server --replay tape.csv --replay-speed 10 quotes from a file\n  \
        server --lab                               behave like the lab exercise's servers"
)]
pub struct Args {
    /// Address to listen on: HOST:PORT, HOST (port 50051), PORT (this machine only) or :PORT (all
    /// addresses of this machine); may be given several times. Port 0 takes a free one.
    ///
    /// [default: this machine only, 127.0.0.1 and ::1, port 50051]
    #[arg(long, value_name = "ADDR", value_parser = ListenAddress::from_str)]
    pub listen: Vec<ListenAddress>,

    /// Listen on addresses that other machines reach, although nothing is encrypted yet and
    /// nobody is asked who they are.
    #[arg(long)]
    pub insecure: bool,

    /// What every leg's sound goes through, in order, unless it asks for something else: a comma
    /// list of highpass, denoise, agc, limiter, delay[=MILLISECONDS]; or none. Not with --lab.
    #[arg(long, value_name = "LIST", default_value = Effects::DEFAULT, value_parser = Effects::parse)]
    pub effects: Effects,

    /// Behave like the lab exercise's servers: opaque bytes come back stamped, the ticker sends
    /// five updates of any symbol, two seconds apart.
    #[arg(long)]
    pub lab: bool,

    /// Time between two trades of a symbol, at least 1ms; below some 5ms a client cannot be told of
    /// each. A trading day is 23,400 of these, six and a half hours at 1s, from the server's start on.
    /// With --lab: what its prices move by, not when they come.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = tick)]
    pub tick: Duration,

    /// Seed of the ticker's market: the same seed gives the same prices, tick by tick.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Trade symbols that are not listed, too, at prices that are made up from their letters. Without
    /// it a symbol that is not among the some 450 of the market is refused, with those that are near.
    #[arg(long)]
    pub any_symbol: bool,

    /// Play recorded trades instead of the simulated market. The first line names the columns, in any
    /// order: ticker_symbol, current_price (dollars), volume (shares) and timestamp (seconds) or
    /// trade_time_us (microseconds), of any zero; if there, also price_change, bid_price, ask_price.
    /// `ticker-client --mode csv` writes such files. Trades are played in the order of their times;
    /// when the tape is over, that is logged and told to readers, and the last prices stay.
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["seed", "tick", "any_symbol", "lab"])]
    pub replay: Option<PathBuf>,

    /// How many times faster than it was recorded the tape is played.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0, requires = "replay", value_parser = speed)]
    pub replay_speed: f64,

    /// Begin the tape when the first reader subscribes to one of its symbols, not at the start.
    #[arg(long, requires = "replay")]
    pub replay_wait: bool,

    /// Begin the tape again when it is over, for ever.
    #[arg(long, requires = "replay")]
    pub replay_loop: bool,

    /// How long streams in flight may go on after the server was asked to stop.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    pub drain: Duration,

    /// A leg that sends nothing for so long, or reads nothing, is ended; so is a ticker stream that has
    /// asked for nothing, or reads nothing; and a connection without any stream is told goodbye, which
    /// clients answer with another one when they need it.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = positive_duration)]
    pub idle_timeout: Duration,

    /// The most legs carried at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_legs: u32,

    /// The most legs that one call has.
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=MAX_LEGS_PER_CALL as i64))]
    pub max_legs_per_call: u16,

    /// The most calls at once. A leg that is alone has one, too.
    #[arg(long, value_name = "NUMBER", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls: u32,

    /// The most streams (legs, quotes, others) that one connection carries at once. Clients and proxies
    /// are told: a proxy opens another connection for more, other clients wait until one is over.
    #[arg(long, value_name = "NUMBER", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams_per_connection: u32,

    /// The most connections of one address (of IPv6: of one /64 network). Never more than seven
    /// eighths of what the open files allow (ulimit -n).
    #[arg(long, value_name = "NUMBER", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// How much memory requests of one address may take that wait to be read, in MiB, over all its
    /// connections. A new one gets a sixteenth of what is left, at most 64 MiB, at least 256 KiB, and a
    /// stream for each 64 KiB of it. An address has at most twice as many connections as MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_memory_per_address: u32,

    /// What to log, on stderr: error, warn, info, debug, or a filter such as server=debug,h2=info.
    /// [default: RUST_LOG, or info]
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", hide_env = true, default_value = "info", hide_default_value = true, value_parser = log_filter)]
    pub log: String,

    /// Print a script that completes this program's arguments in a shell, and end.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

impl Args {
    /// The script with which a shell completes the arguments.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "server", &mut script);
        script
    }
}

/// A filter that the log understands. Also what `RUST_LOG` says, where `--log` is not given.
fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; try info or debug, here or in RUST_LOG")),
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text).parse();
    match number {
        Ok(times) if (0.001..=100_000.0).contains(&times) => Ok(times),
        _ => Err("use a number from 0.001 to 100000, such as 10 or 0.5".to_owned()),
    }
}

fn tick(text: &str) -> Result<Duration, String> {
    match positive_duration(text)? {
        tick if tick < MIN_TICK => Err("must be at least 1ms".to_owned()),
        tick => Ok(tick),
    }
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it like 500ms, 1s or 2m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_unknown_effect_is_named() {
        let error = Args::try_parse_from(["server", "--effects", "reverb"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("reverb") && error.contains("denoise"),
            "{error}"
        );
    }

    #[test]
    fn a_tick_of_next_to_nothing_is_refused() {
        for tick in ["0s", "1ns", "999us"] {
            assert!(Args::try_parse_from(["server", "--tick", tick]).is_err());
        }
        assert!(Args::try_parse_from(["server", "--tick", "1ms"]).is_ok());
    }
}
