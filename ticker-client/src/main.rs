//! `ticker-client`: see `ticker-client --help`.

use std::{
    env,
    io::{self, IsTerminal},
    process::ExitCode,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use ticker_client::{Args, Failure, run, show::Style};
use tokio::{io::BufReader, runtime::Runtime};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = Runtime::new()?;
    let result = runtime.block_on(async {
        let input = BufReader::new(tokio::io::stdin());
        tokio::select! {
            result = run(&args, style(&args), input, tokio::io::stdout()) => result,
            // Without a handler there is nothing to wait for: Ctrl-C then ends us the hard way.
            Ok(()) = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    // Not a plain drop: that would wait for a read of stdin which may never come back.
    runtime.shutdown_background();
    let code = match result {
        Ok(()) => 0,
        Err(Failure::Usage(error)) => Args::command()
            .error(ErrorKind::ValueValidation, error)
            .exit(),
        Err(failure) => {
            eprintln!("ticker-client: {failure}");
            failure.exit_code()
        }
    };
    Ok(code.into())
}

fn style(args: &Args) -> Style {
    if args.json {
        return Style::Json;
    }
    let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let able = io::stdout().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb");
    Style::Columns {
        colour: wanted && able,
    }
}
