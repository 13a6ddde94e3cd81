//! The terminal is as before when the table has ended, however it ended, and while it is stopped.

use std::path::PathBuf;

use tests::{
    bin,
    scripted_ticker::ScriptedTicker,
    terminal::{Terminal, text},
};
use tonic::Status;

use crate::{LIMIT, NO_SETTINGS, USUAL, client, ends_well, open, quote, start};

const CONTROL_Z: &str = "\u{1a}";

#[test]
fn the_shells_screen_is_back_after_the_end() {
    let server = ScriptedTicker::start();
    let script = format!(
        "echo before; '{}' --mode tui --server {} AAPL; echo \"after $?\"",
        bin("ticker-client").display(),
        server.addr()
    );
    let mut terminal = Terminal::start("/bin/sh", &["-c", &script], &NO_SETTINGS, USUAL);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    assert!(!terminal.text().contains("before"), "{terminal}");
    terminal.send("q");
    let text = ends_well(terminal, 0);
    assert!(text.starts_with("before\nafter 0\n"), "{text}");
}

#[test]
fn signals_end_it_and_give_the_terminal_back() {
    for signal in ["TERM", "HUP", "INT"] {
        let (_server, _stream, terminal) = client(&["AAPL"]);
        terminal.wait_for_text("225.54", LIMIT);
        terminal.signal(signal);
        ends_well(terminal, 0);
    }
}

#[test]
fn a_rejection_gives_the_terminal_back_and_then_says_why() {
    let (_server, stream, terminal) = client(&["AAPL"]);
    terminal.wait_for_text("225.54", LIMIT);
    stream.end(Status::permission_denied("you have not paid"));
    let text = ends_well(terminal, 4);
    assert!(text.contains("you have not paid"), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_said_on_the_usual_screen() {
    let addr = format!("127.0.0.1:{}", tests::free_port());
    let args = ["--mode", "tui", "--server", &addr, "AAPL"];
    let terminal = Terminal::start(bin("ticker-client"), &args, &NO_SETTINGS, USUAL);
    let text = ends_well(terminal, 3);
    assert!(text.contains("cannot reach a server"), "{text}");
}

#[test]
fn enough_updates_or_enough_time_end_it() {
    for limit in [["--count", "1"], ["--duration", "1s"]] {
        let server = ScriptedTicker::start();
        let terminal = start(&server, &[&["AAPL"][..], &limit].concat(), &[]);
        let stream = server.stream();
        stream.send(quote("AAPL", 225.54, 223.49));
        ends_well(terminal, 0);
    }
}

#[test]
fn a_server_that_has_no_more_ends_it() {
    let (_server, stream, terminal) = client(&["AAPL"]);
    terminal.wait_for_text("225.54", LIMIT);
    drop(stream);
    let text = ends_well(terminal, 0);
    assert!(text.contains("has no more quotes to send"), "{text}");
}

/// Runs itself in a terminal of its own, where it panics with the full screen open.
#[test]
fn a_panic_gives_the_terminal_back_and_is_read_on_it() {
    const IN_TERMINAL: &str = "TICKER_SCREEN_TEST_PANICS";
    if std::env::var_os(IN_TERMINAL).is_some() {
        let mut screen = ticker_client::tui::terminal::FullScreen::enter(true).expect("a terminal");
        screen
            .draw(|frame| frame.render_widget("drawn", frame.area()))
            .expect("a terminal");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).expect("a key");
        panic!("as was to be expected");
    }
    let this: PathBuf = std::env::current_exe().expect("a test knows its own path");
    let args = [
        "giving_back::a_panic_gives_the_terminal_back_and_is_read_on_it",
        "--exact",
        "--nocapture",
    ];
    let env = [(IN_TERMINAL, "1"), ("RUST_BACKTRACE", "0")];
    let mut terminal = Terminal::start(this, &args, &env, USUAL);
    terminal.wait_for_text("drawn", LIMIT);
    assert!(!terminal.is_usable());
    terminal.send("\n");
    terminal.wait(LIMIT);
    assert!(terminal.is_usable(), "{terminal}");
    let text = terminal.text();
    assert!(text.contains("as was to be expected"), "{text}");
    assert!(!text.contains("drawn"), "{text}");
}

#[test]
fn control_z_gives_the_shell_its_terminal_until_it_is_brought_back() {
    let server = ScriptedTicker::start();
    // A shell with job control, which alone can stop and continue a program.
    let args = ["--norc", "--noprofile", "-i"];
    let env = [&NO_SETTINGS[..], &[("PS1", "ready> ")]].concat();
    let mut terminal = Terminal::start("/bin/bash", &args, &env, USUAL);
    terminal.wait_for_text("ready>", LIMIT);
    let client = bin("ticker-client");
    let command = format!("{} --server {} AAPL\r", client.display(), server.addr());
    terminal.send(&command);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.send(CONTROL_Z);
    terminal.wait_for_text("Stopped", LIMIT);
    terminal.send("echo 'typed'\" here\"\r");
    terminal.wait_for_text("\ntyped here\n", LIMIT);
    terminal.send("fg\r");
    terminal.wait_for_text("225.54", LIMIT);
    stream.send(quote("AAPL", 226.0, 223.49));
    terminal.wait_for_text("226.00", LIMIT);
    terminal.send("q");
    terminal.wait_for("the shell's turn", LIMIT, |screen| {
        text(screen).trim_end().ends_with("AAPL\nready>")
    });
    terminal.send("exit\r");
    ends_well(terminal, 0);
}
