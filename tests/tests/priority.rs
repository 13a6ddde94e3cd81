//! The engine asks for real-time priority, and says whether it was granted.

use std::{process::Command, time::Duration};

use serde_json::Value;
use tests::{Process, Server, bin};

/// What a call says about its engine's thread, the softphone being started through `wrapper`.
fn said(wrapper: &[&str]) -> String {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let softphone = bin("softphone").to_string_lossy().into_owned();
    let call = [
        "--server",
        &addr,
        "--synthetic",
        "--duration",
        "1s",
        "--json",
    ];
    let line = [wrapper, &[&softphone], &call].concat();
    let mut call = Process::start(line[0], &line[1..], &[]);
    let output = call.wait(Duration::from_secs(60));
    let figures: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let said = figures["engine_priority"].as_str().expect("a text");
    said.to_owned()
}

#[test]
fn a_call_says_whether_its_engine_runs_in_real_time() {
    let said = said(&[]);
    println!("{said}");
    assert!(
        said == "real-time" || said.starts_with("normal: "),
        "{said}"
    );
}

#[test]
fn without_the_permission_the_call_goes_on_and_says_why() {
    // Root needs to be deprived of it; anybody else has it only by a limit that is zero by default.
    let deprived = ["setpriv", "--bounding-set=-sys_nice"];
    let possible = Command::new(deprived[0])
        .args([deprived[1], "true"])
        .status();
    let wrapper: &[&str] = match possible {
        Ok(status) if status.success() => &deprived,
        _ => &["sh", "-c", "ulimit -r 0; exec \"$0\" \"$@\""],
    };
    let said = said(wrapper);
    assert!(said.starts_with("normal: "), "{said}");
    assert!(said.contains("ulimit -r"), "{said}");
}
