//! `server`: parses its arguments, sets up logging, listens and runs.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Parser;
use server::{
    Config,
    args::Args,
    call_center::CallCenterConfig,
    exchange::Tape,
    listen::{bind, reachable_from_outside},
    recording::{Recording, RecordingError},
    run,
    ticker::TickerConfig,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// What the program ends with when it was started wrongly.
const USAGE: u8 = 2;

// Connections are served by threads of their own: this one accepts them and hears signals.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completions {
        // Whoever does not read all of it has what they wanted.
        let _ = std::io::stdout().write_all(&Args::completions(shell));
        return ExitCode::SUCCESS;
    }
    set_up_logging(&args.log);
    let tape = match tape(&args) {
        Ok(tape) => tape,
        Err(error) => {
            eprintln!("server: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match serve(args, tape).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args, tape: Tape) -> anyhow::Result<()> {
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
        },
        ticker: TickerConfig {
            tape,
            lab: args.lab,
            idle_timeout: args.idle_timeout,
        },
        drain: args.drain,
        max_streams_per_connection: args.max_streams_per_connection,
        max_connections_per_address: args.max_connections_per_address,
    };
    run(listeners, config, stop).await
}

/// What the ticker's trades come from. A tape that cannot be played is said before anybody connects.
fn tape(args: &Args) -> Result<Tape, RecordingError> {
    let Some(file) = &args.replay else {
        return Ok(Tape::Simulated {
            seed: args.seed,
            tick: args.tick,
        });
    };
    let recording = Recording::open(file, args.replay_speed)?;
    tracing::info!(
        trades = recording.trades(),
        symbols = recording.symbols().len(),
        seconds = recording.length().as_secs(),
        "playing {}",
        file.display()
    );
    Ok(Tape::Recorded(Arc::new(recording)))
}

fn set_up_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Says, on stdout, where we listen; scripts read these lines.
fn say_where(listeners: &[TcpListener]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for listener in listeners {
        let addr = listener.local_addr()?;
        writeln!(out, "listening on {addr}")?;
        for outside in reachable_from_outside(addr) {
            writeln!(out, "others reach it with: softphone --server {outside}")?;
        }
    }
    out.flush()?;
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
            eprintln!("server: stopped at once, as asked twice");
            std::process::exit(130);
        });
    })
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        tokio::signal::windows::ctrl_c().map(Self)
    }

    async fn next(&mut self) {
        self.0.recv().await;
    }
}
