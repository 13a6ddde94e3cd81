//! `server`: parses its arguments, sets up logging, listens and runs.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use server::{
    Config,
    args::Args,
    call_center::CallCenterConfig,
    listen::{bind, reachable_from_outside},
    run,
    ticker::TickerConfig,
};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> anyhow::Result<()> {
    set_up_logging(args.log.as_deref())?;
    let listeners = bind(&args.listen, args.insecure).await?;
    say_where(&listeners)?;
    let config = Config {
        call_center: CallCenterConfig {
            effects: args.effects,
            lab: args.lab,
            idle_timeout: args.idle_timeout,
            max_legs: args.max_legs as usize,
        },
        ticker: TickerConfig {
            tick: args.tick,
            seed: args.seed,
            lab: args.lab,
        },
        drain: args.drain,
    };
    run(listeners, config, asked_to_stop()).await
}

fn set_up_logging(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = match filter {
        Some(filter) => EnvFilter::try_new(filter)
            .with_context(|| format!("--log {filter} is not a log filter; try info or debug"))?,
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
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
/// one ends the program at once.
async fn asked_to_stop() {
    signal().await;
    tokio::spawn(async {
        signal().await;
        eprintln!("server: stopped at once, as asked twice");
        std::process::exit(130);
    });
}

#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[cfg(not(unix))]
async fn signal() {
    let _ = tokio::signal::ctrl_c().await;
}
