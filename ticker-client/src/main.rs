//! `ticker-client`: see `ticker-client --help`.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use output::charset;
use proto::text::lines;
use ticker_client::{
    Args,
    lines::Limit,
    run,
    settings::{Settings, SettingsError, Terminals},
};
use tokio::runtime::Runtime;

/// What the program ends with when what it was asked for could not be written.
const NOT_WRITTEN: u8 = 1;

/// How long a reader of the last words may hold up the end.
const LAST_WORDS: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    // Before there is another thread.
    tty::handle_stops();
    let _flush = output::flush_at_exit(LAST_WORDS);
    output::report_panics();
    let args: Args = output::parse(NOT_WRITTEN);
    if let Some(shell) = args.completions {
        return print(&Args::completions(shell));
    }
    let terminals = Terminals {
        input: io::stdin().is_terminal(),
        output: io::stdout().is_terminal(),
        dumb: !output::understands_escapes(),
    };
    let settings = Settings::load(&args).unwrap_or_else(wrong_usage);
    if args.print_config {
        // Beyond ASCII are only the names of files in its comments.
        return print(charset::text(&settings.to_string()).as_bytes());
    }
    let mode = settings.mode_on(terminals).unwrap_or_else(wrong_usage);
    let limit = Limit {
        count: args.count,
        duration: args.duration,
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            return end(
                NOT_WRITTEN,
                &format!("the system gives no threads: {error}"),
            );
        }
    };
    let result = runtime.block_on(run(settings, mode, limit));
    // Not a plain drop: that would wait for a read of stdin which may never come back.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => end(failure.exit_code(), &failure.to_string()),
    }
}

fn wrong_usage<T>(error: SettingsError) -> T {
    output::wrong_usage::<Args>(error)
}

fn end(code: u8, why: &str) -> ExitCode {
    output::stderr().line(format!("ticker-client: {}\n", lines(why)));
    code.into()
}

fn print(text: &[u8]) -> ExitCode {
    match output::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(NOT_WRITTEN, &format!("cannot write to stdout: {error}")),
    }
}
