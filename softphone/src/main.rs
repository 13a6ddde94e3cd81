//! `softphone`: parses its arguments, sets up logging, and makes the call.

use std::io::{self, IsTerminal, Write};

use clap::Parser;
use softphone::{
    args::{Args, CallArgs, Command, DoctorArgs},
    call::call,
    device::list,
    doctor::doctor,
    report::Report,
    verdict::{ExitCode, Verdict},
    virtual_call,
};
use tracing_subscriber::EnvFilter;

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
    match result {
        Ok(report) => {
            let good = report.verdict.exit == ExitCode::Good;
            if args.json {
                print(&format!("{:#}", report.json()));
            }
            if good && !args.json {
                print(&report.summary());
            } else {
                print_error(&report.summary());
            }
            report.verdict.exit
        }
        Err(verdict) => {
            say_it_never_began(args, &verdict);
            verdict.exit
        }
    }
}

fn say_it_never_began(args: &CallArgs, verdict: &Verdict) {
    if args.json {
        let figures = serde_json::json!({
            "outcome": verdict.exit,
            "exit_code": verdict.exit.code(),
            "message": verdict.why,
        });
        print(&format!("{figures:#}"));
    }
    print_error(&format!("softphone: {}", verdict.why));
}

/// Unlike `println!`, does not panic when the reader is gone: how the call went does not depend on
/// who still listens.
fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

fn print_error(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
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
