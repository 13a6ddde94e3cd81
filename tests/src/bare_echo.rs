//! A bare echo of the same gRPC library, in a process of its own as the server is: what benchmarks compare it
//! with. The process is a second one of the benchmark itself.

use std::{env, io::Write as _, time::Duration};

use crate::{Process, scripted_far_end::ScriptedFarEnd};

/// Set for that process.
const ECHO: &str = "BENCH_BARE_ECHO";

const LIMIT: Duration = Duration::from_secs(30);

/// To be called first by `main`: in the process of the echo it does not return.
///
/// # Panics
/// Nobody reads where it listens.
pub fn serve_if_asked() {
    if env::var_os(ECHO).is_none() {
        return;
    }
    let mirror = ScriptedFarEnd::mirror();
    println!("echo on http://{}", mirror.addr());
    std::io::stdout().flush().expect("somebody reads");
    loop {
        std::thread::park();
    }
}

/// Starts it; the process, and its URI.
///
/// # Panics
/// It does not start.
pub fn start() -> (Process, String) {
    let program = env::current_exe().expect("a program knows its own path");
    let process = Process::start(program, &[], &[(ECHO.to_owned(), "1".to_owned())]);
    let line = process.wait_for_stdout("echo on ", LIMIT);
    let uri = line.trim().trim_start_matches("echo on ").to_owned();
    (process, uri)
}
