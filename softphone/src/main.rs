//! `softphone`: parses its arguments, sets up logging, and makes the call.
#![deny(clippy::print_stdout, clippy::print_stderr)]

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use output::charset;
use proto::text::one_line;
use serde_json::Value;
use softphone::{
    args::{Args, CallArgs, Command, DoctorArgs},
    call::call,
    device::selection::list,
    doctor::{DoctorError, doctor},
    report::{
        Report,
        verdict::{ExitCode, Verdict},
    },
    simulation::virtual_call,
    ui,
};
use tracing_subscriber::EnvFilter;

/// How long a reader of the last words may stand still before the program ends without them.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

/// And what was said beside them.
const LAST_LINES: Duration = Duration::from_millis(300);

fn main() {
    // Before there is another thread.
    tty::handle_stops();
    let flush = output::flush_at_exit(LAST_LINES);
    output::report_panics();
    let args: Args = output::parse(ExitCode::NotWritten.code());
    let exit = match (args.completions, args.command) {
        (Some(shell), _) => print_list(&Args::completions(shell)).code(),
        (None, Some(Command::Devices { json })) => devices(json).code(),
        (None, Some(Command::Doctor(doctor))) => examine(&doctor, &args.call.log),
        (None, None) => make_call(&args.call).code(),
    };
    drop(flush);
    // Without destructors: a device that hangs must not keep the program from ending.
    std::process::exit(i32::from(exit));
}

fn make_call(args: &CallArgs) -> ExitCode {
    set_up_logging(&args.log);
    if args.virtual_time {
        return show(args, virtual_call::call(args));
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&format!("softphone: the system gives no threads: {error}"));
            return ExitCode::NoConnection;
        }
    };
    let result = runtime.block_on(call(args));
    // Not a plain drop: that would wait for a name that is still being looked up, or a device.
    runtime.shutdown_background();
    show(args, result)
}

fn show(args: &CallArgs, result: Result<Report, Verdict>) -> ExitCode {
    let (verdict, figures, words) = match result {
        Ok(report) => {
            let figures = report.json();
            let width = match report.verdict.exit == ExitCode::Good && !args.wants_json() {
                true => ui::columns(&io::stdout()),
                false => ui::columns(&io::stderr()),
            };
            let words = report.summary(width);
            (report.verdict, figures, words)
        }
        Err(verdict) => {
            let words = format!("softphone: {}", one_line(&verdict.why));
            let figures = verdict.json();
            (verdict, figures, words)
        }
    };
    let is_good = verdict.exit == ExitCode::Good;
    if is_good && !args.wants_json() {
        print(&words);
    } else {
        print_error(&words);
    }
    if args.wants_json()
        && let Err(why) = print_figures(args, &figures)
        && is_good
    {
        print_error(&format!(
            "softphone: the figures could not be written to stdout: {why}"
        ));
        return ExitCode::NotWritten;
    }
    verdict.exit
}

/// Prints what a script waits for, also the lines of `--json-lines` before it.
fn print_figures(args: &CallArgs, figures: &Value) -> Result<(), String> {
    let stdout = output::stdout();
    match args.json {
        true => stdout.line(format!("{figures:#}\n")),
        false => stdout.line(format!("{figures}\n")),
    }
    stdout
        .finish(READER_TIMEOUT)
        .map_err(|error| error.to_string())?;
    match stdout.lost() {
        0 => Ok(()),
        lost => Err(format!("{lost} lines are missing")),
    }
}

/// A reader that is gone or stands still changes nothing about how the call went.
fn print(text: &str) {
    output::stdout().line(format!("{}\n", charset::columns(text)));
    let _ = output::stdout().finish(READER_TIMEOUT);
}

fn print_error(text: &str) {
    output::stderr().line(format!("{text}\n"));
    let _ = output::stderr().finish(READER_TIMEOUT);
}

fn print_list(text: &[u8]) -> ExitCode {
    match output::print(text) {
        Ok(()) => ExitCode::Good,
        Err(error) => {
            print_error(&format!("softphone: cannot write to stdout: {error}"));
            ExitCode::NotWritten
        }
    }
}

fn devices(json: bool) -> ExitCode {
    let devices = list::list();
    let mut text = Vec::new();
    let made = match json {
        true => devices.print_json(&mut text),
        false => devices.print(&mut text),
    };
    match made {
        Ok(()) if json => print_list(&text),
        Ok(()) => print_list(charset::columns(&String::from_utf8_lossy(&text)).as_bytes()),
        Err(error) => {
            print_error(&format!("softphone: cannot list the devices: {error}"));
            ExitCode::NoAudio
        }
    }
}

fn examine(args: &DoctorArgs, log: &str) -> u8 {
    set_up_logging(log);
    doctor(args).unwrap_or_else(|error| {
        print_error(&format!("softphone: {}", one_line(&error.to_string())));
        match error {
            DoctorError::UnknownHost(_) => ExitCode::Usage.code(),
            DoctorError::NotWritten(_) => ExitCode::NotWritten.code(),
        }
    })
}

fn set_up_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(output::log)
        .with_ansi(output::colour(io::stderr().is_terminal()))
        // It would write them to stderr itself, and panic where that fails.
        .log_internal_errors(false)
        .init();
}
