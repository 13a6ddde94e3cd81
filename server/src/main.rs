//! `server`: parses its arguments, sets up logging, listens and runs.
#![deny(clippy::print_stdout, clippy::print_stderr)]
// What peers say, and what files hold, must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{io::IsTerminal, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use proto::text::one_line;
use server::{
    Config,
    args::Args,
    calls::CallCenterConfig,
    quotes::{Replay, StockTape, StockTapeError, TickerConfig, TradeSource},
    run,
    transport::{PeerLogLimit, bind, reachable_from_outside},
};
use tokio::net::TcpListener;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};
use tty::{EndSignal, SignalListener};

/// What the program ends with when it was started wrongly, or failed.
const USAGE: u8 = 2;
const FAILURE: u8 = 1;

/// How long a log that nobody reads may hold up the end.
const LAST_LINES: Duration = Duration::from_millis(300);

// Connections are served by threads of their own: this one accepts them and hears signals.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let _flush = output::flush_at_exit(LAST_LINES);
    output::report_panics();
    let args: Args = output::parse(FAILURE);
    if let Some(shell) = args.completions {
        return match output::print(&Args::completions(shell)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILURE, &format!("cannot write to stdout: {error}")),
        };
    }
    let peer_limit = PeerLogLimit::default();
    set_up_logging(&args.log, peer_limit.clone());
    tokio::spawn(peer_limit.clone().report());
    let trades = match trades(&args) {
        Ok(trades) => trades,
        Err(error) => return fail(USAGE, &error.to_string()),
    };
    let served = serve(args, trades).await;
    peer_limit.report_now();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(FAILURE, &format!("{error:#}")),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    output::stderr().line(format!("server: {}\n", one_line(why)));
    ExitCode::from(code)
}

async fn serve(args: Args, trades: TradeSource) -> anyhow::Result<()> {
    let listeners = bind(&args.listen, args.insecure).await?;
    // Before anybody is told that we are here, who might then ask us to stop.
    let stop = asked_to_stop()?;
    say_where(&listeners)?;
    let config = Config {
        call_center: CallCenterConfig {
            effects: args.effects,
            lab: args.lab,
            idle_timeout: args.idle_timeout,
            max_legs: args.max_legs as usize,
            max_legs_per_call: args.max_legs_per_call.into(),
            max_calls: args.max_calls as usize,
        },
        ticker: TickerConfig {
            trades,
            lab: args.lab,
            idle_timeout: args.idle_timeout,
        },
        drain: args.drain,
        max_streams_per_connection: args.max_streams_per_connection,
        max_connections_per_address: args.max_connections_per_address,
        max_memory_per_address: u64::from(args.max_memory_per_address) << 20,
        idle_timeout: args.idle_timeout,
    };
    run(listeners, config, stop).await
}

/// What the ticker's trades come from. A tape that cannot be played is said before anybody connects.
fn trades(args: &Args) -> Result<TradeSource, StockTapeError> {
    let Some(file) = &args.replay else {
        return Ok(TradeSource::Simulated {
            seed: args.seed,
            tick: args.tick,
            // The lab's server knows no list.
            any_symbol: args.any_symbol || args.lab,
        });
    };
    let tape = StockTape::open(file, args.replay_speed)?;
    tracing::info!(
        trades = tape.trades(),
        symbols = tape.symbols().len(),
        seconds = tape.length().as_secs(),
        "{} {}",
        match (args.replay_wait, args.replay_loop) {
            (false, false) => "playing",
            (false, true) => "playing over and over",
            (true, _) => "waiting for the first reader of",
        },
        file.display()
    );
    if let Some(what) = tape.omission() {
        tracing::warn!("{}, {what}", file.display());
    }
    Ok(TradeSource::Recorded(Replay {
        tape: Arc::new(tape),
        waits: args.replay_wait,
        loops: args.replay_loop,
    }))
}

fn set_up_logging(filter: &str, peer_limit: PeerLogLimit) {
    let lines = fmt::layer()
        .with_writer(output::log)
        .with_ansi(output::colour(std::io::stderr().is_terminal()))
        // It would write them to stderr itself, and panic where that fails.
        .log_internal_errors(false);
    tracing_subscriber::registry()
        .with(EnvFilter::new(filter))
        .with(peer_limit)
        .with(lines)
        .init();
}

/// Says, on stdout, where we listen; scripts read these lines. Nobody has to.
fn say_where(listeners: &[TcpListener]) -> anyhow::Result<()> {
    for listener in listeners {
        let addr = listener.local_addr()?;
        output::stdout().line(format!("listening on {addr}\n"));
        for outside in reachable_from_outside(addr) {
            let line = format!("others reach it with: softphone --server {outside}\n");
            output::stdout().line(line);
        }
    }
    Ok(())
}

/// Comes when somebody wants the server to stop: Ctrl-C, or what a service manager sends. A second
/// one ends the program at once. Signals are heard from the call on, not from the first poll.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    Ok(async move {
        signals.next().await;
        tokio::spawn(async move {
            signals.next().await;
            output::stderr().line("server: stopped at once, as asked twice\n");
            drop(output::flush_at_exit(LAST_LINES));
            std::process::exit(130);
        });
    })
}

struct Signals {
    terminate: SignalListener,
    interrupt: SignalListener,
    hang_up: SignalListener,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: SignalListener::new(EndSignal::Terminate)?,
            interrupt: SignalListener::new(EndSignal::Interrupt)?,
            hang_up: SignalListener::new(EndSignal::HangUp)?,
        })
    }

    async fn next(&mut self) {
        loop {
            tokio::select! {
                () = self.terminate.recv() => return,
                () = self.interrupt.recv() => return,
                // To most servers it means: read your settings anew.
                () = self.hang_up.recv() => {
                    tracing::info!("SIGHUP is ignored: there are no settings to be read anew");
                }
            }
        }
    }
}
