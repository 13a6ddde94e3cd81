//! `softphone`: parses its arguments, sets up logging, and makes the call.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use clap::Parser;
use serde_json::Value;
use softphone::{
    args::{Args, CallArgs, Command, DoctorArgs},
    call::call,
    device::list,
    doctor::doctor,
    report::Report,
    ui::{self, output::Output},
    verdict::{ExitCode, Verdict},
    virtual_call,
};
use tracing_subscriber::EnvFilter;

/// How long a reader of the last words may stand still before the program ends without them.
const READER_TIMEOUT: Duration = Duration::from_secs(3);

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completions {
        // Whoever does not read all of it has what they wanted.
        let _ = io::stdout().write_all(&Args::completions(shell));
        return std::process::ExitCode::SUCCESS;
    }
    let exit = match args.command {
        Some(Command::Devices { json }) => devices(json).code(),
        Some(Command::Doctor(doctor)) => examine(&doctor, &args.call.log),
        None => make_call(&args.call).code(),
    };
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
    show(args, runtime.block_on(call(args)))
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
            let words = format!("softphone: {}", verdict.why);
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
    if args.wants_json() && !print_figures(args, &figures) && is_good {
        print_error("softphone: the figures could not be written to stdout");
        return ExitCode::NotWritten;
    }
    verdict.exit
}

/// Returns whether they were written.
fn print_figures(args: &CallArgs, figures: &Value) -> bool {
    let text = match args.json {
        true => format!("{figures:#}\n"),
        false => format!("{figures}\n"),
    };
    let stdout = Output::stdout();
    stdout.line(text);
    stdout.finish(READER_TIMEOUT)
}

/// A reader that is gone or stands still changes nothing about how the call went.
fn print(text: &str) {
    let stdout = Output::stdout();
    stdout.line(format!("{text}\n"));
    stdout.finish(READER_TIMEOUT);
}

fn print_error(text: &str) {
    let stderr = Output::stderr();
    stderr.line(format!("{text}\n"));
    stderr.finish(READER_TIMEOUT);
}

fn devices(json: bool) -> ExitCode {
    let devices = list::list();
    let out = &mut io::stdout().lock();
    let printed = if json {
        devices.print_json(out)
    } else {
        devices.print(out)
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("softphone: cannot print: {error}"));
            ExitCode::NoAudio
        }
        _ => ExitCode::Good,
    }
}

fn examine(args: &DoctorArgs, log: &str) -> u8 {
    set_up_logging(log);
    doctor(args).unwrap_or_else(|error| {
        print_error(&format!("softphone: {error}"));
        ExitCode::Usage.code()
    })
}

fn set_up_logging(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}
