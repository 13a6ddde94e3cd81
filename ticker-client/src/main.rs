//! `ticker-client`: see `ticker-client --help`.

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use ticker_client::{
    Args, Failure,
    lines::Limit,
    run,
    settings::{Settings, Terminals},
};
use tokio::runtime::Runtime;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(shell) = args.completions {
        return Ok(print(&Args::completions(shell)));
    }
    let terminals = Terminals {
        input: io::stdin().is_terminal(),
        output: io::stdout().is_terminal(),
        dumb: env::var_os("TERM").is_some_and(|term| term == "dumb"),
    };
    let settings = Settings::load(&args, terminals).unwrap_or_else(|error| {
        let kind = ErrorKind::ValueValidation;
        Args::command().error(kind, error).exit()
    });
    if args.print_config {
        return Ok(print(settings.to_string().as_bytes()));
    }
    let limit = Limit {
        count: args.count,
        duration: args.duration,
    };
    let runtime = Runtime::new()?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = run(settings, limit) => result,
            // Without a handler there is nothing to wait for: Ctrl-C then ends us the hard way.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    // Not a plain drop: that would wait for a read of stdin which may never come back.
    runtime.shutdown_background();
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(&failure),
    })
}

fn end(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "ticker-client: {failure}");
    failure.exit_code().into()
}

fn print(text: &[u8]) -> ExitCode {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => end(&Failure::Output(error)),
        _ => ExitCode::SUCCESS,
    }
}
