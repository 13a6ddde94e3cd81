//! The softphone in a terminal: what is on it at every size, what keys do, and that nothing that
//! happens to the terminal happens to the call.

use std::time::Duration;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use tests::{
    Server, bin,
    terminal::{Screen, Terminal, text},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const GOOD: u32 = 0;
const WRONG_AUDIO: u32 = 6;

fn call(server: &Server, size: (u16, u16)) -> Terminal {
    let addr = server.addr().to_string();
    let args = ["--synthetic", "--duration", "10m", "--server", &addr];
    let terminal = Terminal::start(bin("softphone"), &args, &[], size);
    terminal.wait_for("the delay", LIMIT, |screen| {
        has(screen, "in call") && has(screen, " ms") && !has(screen, "? ms")
    });
    terminal
}

fn has(screen: &Screen, words: &str) -> bool {
    text(screen).contains(words)
}

fn count(screen: &Screen, words: &str) -> usize {
    text(screen).matches(words).count()
}

/// The level of the line that begins with "far", to a decibel.
fn far_level_is(screen: &Screen, dbfs: f32) -> bool {
    let text = text(screen);
    let line = text.lines().find(|line| line.starts_with("far"));
    let level = line.and_then(|line| line.split(" dBFS").next()?.split(' ').next_back());
    let level = level.and_then(|level| level.parse::<f32>().ok());
    level.is_some_and(|level| (level - dbfs).abs() < 1.0)
}

/// An unlucky second is wrong audio, which is no fault of the screen.
fn hang_up(terminal: &mut Terminal) {
    terminal.send("q");
    let code = terminal.wait(LIMIT);
    assert!(matches!(code, GOOD | WRONG_AUDIO), "{code}\n{terminal}");
}

#[test]
fn keys_do_what_the_list_of_keys_says() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (80, 24));
    terminal.send("?");
    terminal.wait_for_text("where the time goes", LIMIT);
    terminal.send("d");
    terminal.wait_for_text("capture device", LIMIT);
    terminal.wait_for_no_text("these keys", LIMIT);
    terminal.send("d");
    terminal.wait_for_no_text("capture device", LIMIT);
    terminal.send("m");
    terminal.wait_for_text("MUTED", LIMIT);
    terminal.send("m");
    terminal.wait_for_no_text("MUTED", LIMIT);
    terminal.send("--");
    terminal.wait_for_text("volume -4 dB", LIMIT);
    // The tone comes back at -23 dBFS.
    terminal.wait_for("4 dB less", LIMIT, |screen| far_level_is(screen, -27.0));
    terminal.send("++++++++++++++++++++");
    terminal.wait_for_text("volume +12 dB, max", LIMIT);
    terminal.wait_for("12 dB more", LIMIT, |screen| far_level_is(screen, -11.0));
    terminal.send("------");
    terminal.wait_for_no_text("volume", LIMIT);
    hang_up(&mut terminal);
    assert!(terminal.is_usable(), "{terminal}");
    assert!(terminal.text().contains("opus 48000 Hz"), "{terminal}");
}

/// The space bar as terminals send it that report releases.
const PRESS: &str = "\x1b[32;1:1u";
const RELEASE: &str = "\x1b[32;1:3u";

#[test]
fn the_first_press_of_space_is_push_to_talk_where_the_terminal_reports_releases() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (80, 24));
    terminal.send(PRESS);
    terminal.send("d");
    terminal.wait_for_text("capture device", LIMIT);
    terminal.send(RELEASE);
    terminal.send("d");
    terminal.wait_for_no_text("capture device", LIMIT);
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(!bytes.contains("MUTED"), "{terminal}");
    hang_up(&mut terminal);
}

#[test]
fn push_to_talk_ends_with_the_focus_whose_reports_are_no_keys() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (80, 24));
    terminal.send("m");
    terminal.wait_for_text("MUTED", LIMIT);
    for focus_lost in [&["\x1b[O"][..], &["\x1b", "[O"], &["\x1b[", "O"]] {
        terminal.send(PRESS);
        terminal.wait_for_no_text("MUTED", LIMIT);
        for part in focus_lost {
            terminal.send(part);
            // Most often read by itself; where not, the test proves less.
            std::thread::sleep(Duration::from_millis(30));
        }
        terminal.wait_for_text("MUTED", LIMIT);
        terminal.send("\x1b[I");
    }
    // On, and off again in time.
    assert!(!terminal.is_usable(), "{terminal}");
    hang_up(&mut terminal);
    assert!(terminal.is_usable(), "{terminal}");
}

#[test]
fn space_is_push_to_talk_where_the_terminal_reports_releases() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (80, 24));
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(bytes.contains("\x1b[>15u"), "{bytes:?}");
    terminal.send("m");
    terminal.wait_for_text("MUTED", LIMIT);
    for _ in 0..2 {
        terminal.send(PRESS);
        terminal.wait_for_no_text("MUTED", LIMIT);
        terminal.send(RELEASE);
        terminal.wait_for_text("MUTED", LIMIT);
    }
    hang_up(&mut terminal);
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(bytes.contains("\x1b[<1u"), "{bytes:?}");
    assert!(terminal.is_usable(), "{terminal}");
}

#[test]
fn a_new_size_leaves_nothing_of_the_old_one() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (80, 24));
    terminal.send("d");
    terminal.wait_for_text("playback device", LIMIT);
    for (columns, rows) in [(40, 24), (100, 24), (20, 6), (40, 24), (80, 24)] {
        terminal.resize(columns, rows);
        let delay = if columns < 30 {
            "in call "
        } else {
            "mouth-to-ear"
        };
        terminal.wait_for("one picture", LIMIT, |screen| {
            count(screen, "in call") == 1
                && has(screen, delay)
                && count(screen, "you  ") == 1
                && count(screen, "far  ") == 1
                && (rows < 20 || count(screen, "playback device") == 1)
                && (columns < 60 || has(screen, "rtt"))
        });
    }
    hang_up(&mut terminal);
}

#[test]
fn details_and_summary_break_no_word_at_40_columns() {
    let server = Server::start(&[]);
    let mut terminal = call(&server, (40, 40));
    terminal.send("d");
    terminal.wait_for_text("playback device", LIMIT);
    hang_up(&mut terminal);
    let shown = terminal.text();
    assert!(shown.contains("mouth to ear"), "{shown}");
    let bytes = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    let (_, summary) = bytes.split_once("\x1b[?25h").expect("it was given back");
    for line in summary.lines() {
        let columns = line.trim_end().chars().count();
        assert!(columns < 40, "{columns}: {line:?}\n{shown}");
    }
}

#[test]
fn a_terminal_that_stands_still_does_not_hold_the_call() {
    let server = Server::start(&[]);
    let pty = native_pty_system().openpty(PtySize::default());
    let pty = pty.expect("the system has pseudo terminals");
    let mut command = CommandBuilder::new(bin("softphone"));
    let addr = server.addr().to_string();
    // Long enough for what fits into a pseudo terminal that nobody reads.
    command.args(["--synthetic", "--duration", "6s", "--server", &addr]);
    let mut child = pty.slave.spawn_command(command).expect("started");
    let code = child.wait().expect("it ends").exit_code();
    // The tone was heard to its end: 3 or 5 would be a call that stood still.
    assert!(matches!(code, GOOD | WRONG_AUDIO), "{code}");
}
