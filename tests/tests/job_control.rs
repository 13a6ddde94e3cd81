//! The three programs in a shell: in its foreground and background, stopped and continued, among the
//! signals that they inherit, and on terminals that can little or have gone.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, time::Duration};

use tests::{
    Process, Server, bin, cpu,
    dying_terminal::DyingTerminal,
    free_port, run,
    scripted_ticker::ScriptedTicker,
    terminal::{Screen, Terminal, text},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const CONTROL_Z: &str = "\u{1a}";
const ESCAPE: u8 = 0x1b;

/// A call without devices.
const TONE: [&str; 6] = ["--source", "tone", "--sink", "null", "--effects", "none"];

const NO_SETTINGS: [(&str, &str); 3] = [
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("XDG_STATE_HOME", "/nonexistent"),
    ("TICKER_CLIENT_CONFIG", ""),
];

/// A shell with job control, which alone stops and continues programs.
fn shell() -> Terminal {
    let args = ["--norc", "--noprofile", "-i"];
    let env = [&NO_SETTINGS[..], &[("PS1", "ready> ")]].concat();
    let terminal = Terminal::start("/bin/bash", &args, &env, (100, 30));
    terminal.wait_for_text("ready>", LIMIT);
    terminal
}

/// Types a command.
fn enter(shell: &mut Terminal, command: &str) {
    shell.send(&format!("{command}\r"));
}

/// Types a command whose output the shell alone can have written.
fn shell_answers(shell: &mut Terminal, word: &str) {
    let (first, rest) = word.split_at(1);
    enter(shell, &format!("echo '{first}'\"{rest} said\""));
    shell.wait_for_text(&format!("{word} said"), LIMIT);
}

/// Waits until the shell's one job is stopped; it tells of that only together with a prompt.
fn wait_for_stop(shell: &mut Terminal) {
    enter(
        shell,
        "until jobs | grep -q Stopped; do sleep 0.05; done; echo it' 'stopped",
    );
    shell.wait_for_text("it stopped", LIMIT);
}

fn has(screen: &Screen, words: &str) -> bool {
    text(screen).contains(words)
}

/// The last line that is not empty is the shell's, which waits for a command.
fn is_shells_turn(screen: &Screen) -> bool {
    text(screen).trim_end().ends_with("ready>")
}

/// Waits until nothing of a program is left on the shell's screen that would disturb the shell.
fn is_put_right(shell: &Terminal) {
    shell.wait_for("the shell's own screen", LIMIT, |screen| {
        !screen.alternate_screen() && !screen.hide_cursor()
    });
    let bytes = shell.bytes();
    // Reports of keys, as often as they were asked for; reports of the focus.
    for (on, off) in [("\x1b[>15u", "\x1b[<1u"), ("\x1b[?1004h", "\x1b[?1004l")] {
        assert_eq!(count(&bytes, on), count(&bytes, off), "{on:?}\n{shell}");
    }
}

fn count(bytes: &[u8], code: &str) -> usize {
    let code = code.as_bytes();
    bytes.windows(code.len()).filter(|b| *b == code).count()
}

fn wait_for_file(path: &Path, what: &str) -> String {
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if text.contains(what) {
            return text;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "no {what:?} in {}:\n{text}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

// ---- the background ----

#[test]
fn quotes_into_a_file_go_on_in_the_background_and_symbols_are_typed_in_the_foreground() {
    let server = ScriptedTicker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("quotes.csv");
    let mut shell = shell();
    let command = format!(
        "{} --server {} --mode csv AAPL > {} &",
        bin("ticker-client").display(),
        server.addr(),
        file.display()
    );
    enter(&mut shell, &command);
    let stream = server.stream();
    assert_eq!(stream.requests(1), ["+AAPL"]);
    stream.quote("AAPL", 1.25);
    wait_for_file(&file, "1.25");
    // What is typed is the shell's: were it read by the job, the system would stop the job for that.
    shell_answers(&mut shell, "typed");
    enter(&mut shell, "jobs");
    let jobs = shell.wait_for("the job", LIMIT, |screen| {
        has(screen, "Running") || has(screen, "Stopped")
    });
    assert!(!jobs.contains("Stopped"), "{jobs}");
    stream.quote("AAPL", 2.25);
    wait_for_file(&file, "2.25");

    enter(&mut shell, "fg");
    shell.wait_for("the job in front", LIMIT, |screen| !is_shells_turn(screen));
    enter(&mut shell, "tsla");
    assert_eq!(stream.requests(1), ["+TSLA"]);

    shell.send(CONTROL_Z);
    shell.wait_for_text("Stopped", LIMIT);
    enter(&mut shell, "bg");
    stream.quote("AAPL", 3.25);
    wait_for_file(&file, "3.25");
    shell_answers(&mut shell, "again");
    stream.quote("AAPL", 4.25);
    wait_for_file(&file, "4.25");
    enter(&mut shell, "kill %1; wait; exit");
    shell.wait(LIMIT);
}

#[test]
fn a_table_in_the_background_waits_for_the_foreground_and_draws_nothing_before() {
    let server = ScriptedTicker::start();
    let mut shell = shell();
    let client = bin("ticker-client");
    let command = format!("{} --server {} AAPL &", client.display(), server.addr());
    enter(&mut shell, &command);
    // As any program that wants the whole terminal.
    wait_for_stop(&mut shell);
    is_put_right(&shell);
    enter(&mut shell, "fg");
    let stream = server.stream();
    stream.quote("AAPL", 225.54);
    shell.wait_for_text("225.54", LIMIT);
    // And again, when it is sent there.
    shell.send(CONTROL_Z);
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
    enter(&mut shell, "clear; bg");
    wait_for_stop(&mut shell);
    is_put_right(&shell);
    enter(&mut shell, "fg");
    shell.wait_for_text("225.54", LIMIT);
    shell.send("q");
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
}

/// Somebody stops it who asks nobody (SIGSTOP), and continues it; the shell has set the terminal
/// meanwhile.
#[test]
fn a_table_that_was_stopped_without_a_word_takes_the_terminal_again() {
    let server = ScriptedTicker::start();
    let mut shell = shell();
    let client = bin("ticker-client");
    enter(
        &mut shell,
        &format!("{} --server {} AAPL", client.display(), server.addr()),
    );
    let stream = server.stream();
    stream.quote("AAPL", 225.54);
    shell.wait_for_text("225.54", LIMIT);
    let id = child_of(shell.id());
    tests::signal(id, "STOP");
    shell.wait_for_text("ready>", LIMIT);
    shell_answers(&mut shell, "typed");
    enter(&mut shell, "fg");
    shell.wait_for_text("connected", LIMIT);
    stream.quote("AAPL", 226.0);
    shell.wait_for_text("226.00", LIMIT);
    shell.send("q");
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
}

/// The one program that the shell runs.
fn child_of(shell: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let children = children.expect("Linux tells the children");
    children.trim().parse().expect("there is one")
}

// ---- Ctrl-Z in a call ----

/// A call in a shell, whose tone is heard.
fn call_in(shell: &mut Terminal, server: &Server) {
    let command = format!(
        "{} --source tone --sink null --effects none --duration 10m --server {}",
        bin("softphone").display(),
        server.addr()
    );
    enter(shell, &command);
    shell.wait_for("the call", LIMIT, is_heard);
}

/// The screen of a call that is up, in both directions.
fn is_heard(screen: &Screen) -> bool {
    let text = text(screen);
    let far = text.lines().find(|line| line.starts_with("far"));
    has(screen, "in call") && far.is_some_and(|far| far.contains("dBFS"))
}

#[test]
fn control_z_stops_a_call_and_the_shell_continues_it() {
    let server = Server::start(&[]);
    let mut shell = shell();
    call_in(&mut shell, &server);
    shell.send(CONTROL_Z);
    shell.wait_for_text("Stopped", LIMIT);
    is_put_right(&shell);
    shell_answers(&mut shell, "typed");
    enter(&mut shell, "clear; fg");
    shell.wait_for("the call", LIMIT, is_heard);
    // It is as easy a second time.
    shell.send(CONTROL_Z);
    shell.wait_for_text("Stopped", LIMIT);
    is_put_right(&shell);
    enter(&mut shell, "clear; fg");
    shell.wait_for("the call", LIMIT, is_heard);
    shell.send("q");
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
    enter(&mut shell, "echo code: $?");
    shell.wait_for_text("code: 0", LIMIT);
}

#[test]
fn a_call_goes_on_in_the_background_with_plain_lines() {
    let server = Server::start(&[]);
    let mut shell = shell();
    call_in(&mut shell, &server);
    shell.send(CONTROL_Z);
    shell.wait_for_text("Stopped", LIMIT);
    enter(&mut shell, "clear; bg");
    shell.wait_for("a plain line", LIMIT, |screen| {
        text(screen)
            .lines()
            .any(|line| line.contains("in call  you ") && line.contains("concealed"))
    });
    is_put_right(&shell);
    shell_answers(&mut shell, "typed");
    enter(&mut shell, "clear; fg");
    shell.wait_for("the call", LIMIT, is_heard);
    shell.send("q");
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
}

#[test]
fn a_call_that_was_stopped_without_a_word_takes_the_terminal_again_and_leaves_it_as_it_was() {
    let server = Server::start(&[]);
    let mut shell = shell();
    call_in(&mut shell, &server);
    tests::signal(child_of(shell.id()), "STOP");
    shell.wait_for_text("Stopped", LIMIT);
    enter(&mut shell, "clear; fg");
    shell.wait_for("the call", LIMIT, is_heard);
    shell.send("?");
    shell.wait_for_text("these keys", LIMIT);
    shell.send("q");
    shell.wait_for("the shell", LIMIT, is_shells_turn);
    is_put_right(&shell);
}

/// Without a shell that could continue it, a stop would be for ever.
#[test]
fn control_z_stops_nothing_where_nobody_could_continue_it() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let args = [&TONE[..], &["--server", &addr]].concat();
    let mut call = Terminal::start(bin("softphone"), &args, &[], (80, 24));
    call.wait_for("the call", LIMIT, is_heard);
    call.send(CONTROL_Z);
    wait_until("the screen again", || {
        count(&call.bytes(), "\x1b[>15u") == 2
    });
    call.send("m");
    call.wait_for_text("MUTED", LIMIT);
    call.send("q");
    assert_eq!(call.wait(LIMIT), 0);
    assert!(call.is_usable(), "{call}");

    let quotes = ScriptedTicker::start();
    let addr = quotes.addr().to_string();
    let args = ["--server", &addr, "AAPL"];
    let mut table = Terminal::start(bin("ticker-client"), &args, &NO_SETTINGS, (80, 24));
    let stream = quotes.stream();
    stream.quote("AAPL", 225.54);
    table.wait_for_text("225.54", LIMIT);
    table.send(CONTROL_Z);
    wait_until("the screen again", || {
        count(&table.bytes(), "\x1b[?1049h") == 2
    });
    table.send("?");
    table.wait_for_text("Keys", LIMIT);
    table.send("qq");
    assert_eq!(table.wait(LIMIT), 0);
    assert!(table.is_usable(), "{table}");
}

// ---- signals that were ignored from the start ----

/// Starts a program as a script's `&` under `nohup` does.
fn ignoring(signals: &str, name: &str, args: &[&str]) -> Process {
    let script = format!("trap '' {signals}; exec \"$0\" \"$@\"");
    let program = bin(name);
    let program = program.to_str().expect("a path in UTF-8");
    let args = [&["-c", &script, program][..], args].concat();
    let env = NO_SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Process::start("/bin/sh", &args, &env)
}

#[test]
fn a_signal_that_was_ignored_from_the_start_ends_nothing() {
    let addr = format!("127.0.0.1:{}", free_port());
    let mut server = ignoring("INT HUP", "server", &["--listen", &addr, "--tick", "20ms"]);
    server.wait_for_stdout("listening", LIMIT);
    for signal in ["INT", "HUP", "INT"] {
        server.signal(signal);
    }

    let args = ["--server", &addr, "--mode", "csv", "AAPL"];
    let mut quotes = ignoring("INT HUP", "ticker-client", &args);
    quotes.wait_for_stdout("AAPL", LIMIT);
    for signal in ["INT", "HUP"] {
        quotes.signal(signal);
        let lines = quotes.stdout().lines().count();
        wait_until("another quote", || {
            quotes.stdout().lines().count() > lines + 1
        });
    }

    let args = [
        "--server",
        &addr,
        "--source",
        "tone",
        "--sink",
        "null",
        "--effects",
        "none",
        "--json-lines",
    ];
    let mut call = ignoring("INT HUP", "softphone", &args);
    call.wait_for_stderr("connected", LIMIT);
    for signal in ["INT", "HUP"] {
        call.signal(signal);
        let lines = call.stdout().lines().count();
        wait_until("another line", || call.stdout().lines().count() > lines + 1);
    }
    call.signal("TERM");
    let call = call.wait(LIMIT);
    assert_eq!(call.code, Some(0), "{call:?}");

    assert!(quotes.ended().is_none(), "{quotes}");
    quotes.signal("TERM");
    // It was not ignored, and nothing is to be put right: the system ends it.
    assert_eq!(quotes.wait(LIMIT).code, None);

    assert!(server.ended().is_none(), "{server}");
    server.signal("TERM");
    assert_eq!(server.wait(LIMIT).code, Some(0));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + LIMIT;
    while !is_so() {
        assert!(
            std::time::Instant::now() < deadline,
            "waited for {what}: too late"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

// ---- a terminal that dies without a signal ----

#[test]
fn a_call_hangs_up_when_its_terminal_has_gone_unless_it_was_to_outlive_that() {
    let server = Server::start(&["--log", "info"]);
    let addr = server.addr().to_string();
    let args = [&TONE[..], &["--server", &addr]].concat();
    let mut call = DyingTerminal::start(bin("softphone"), &args, false);
    call.wait_for_text("in call");
    call.die();
    assert_eq!(call.wait(LIMIT), 0);

    // In the time that quotes take to come: what a core would do meanwhile is seconds.
    let mut call = DyingTerminal::start(bin("softphone"), &args, true);
    call.wait_for_text("in call");
    call.die();
    let quotes = [
        "--server",
        &addr,
        "--mode",
        "csv",
        "--duration",
        "3s",
        "AAPL",
    ];
    run(bin("ticker-client"), &quotes, None, LIMIT);
    let before = cpu::process_seconds(call.id());
    run(bin("ticker-client"), &quotes, None, LIMIT);
    let used = cpu::process_seconds(call.id()) - before;
    assert!(!call.has_ended(), "it was to outlive its terminal");
    println!("without its terminal a call took {used:.2} s of the processor in 3 s");
    assert!(used < 1.5, "{used} s");
    tests::signal(call.id(), "TERM");
    assert_eq!(call.wait(LIMIT), 0);
}

#[test]
fn a_table_ends_when_its_terminal_has_gone() {
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    for outlives_hang_ups in [false, true] {
        let args = ["--server", &addr, "--mode", "tui", "AAPL"];
        let mut table = DyingTerminal::start(bin("ticker-client"), &args, outlives_hang_ups);
        let stream = server.stream();
        stream.quote("AAPL", 225.54);
        table.wait_for_text("225.54");
        table.die();
        assert_eq!(table.wait(LIMIT), 1);
    }
}

/// What goes into a file needs no terminal.
#[test]
fn quotes_into_a_file_outlive_their_terminal_and_do_not_spin() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("quotes.csv");
    let script = format!(
        "exec {} --server {addr} --mode csv AAPL > {}",
        bin("ticker-client").display(),
        file.display()
    );
    let mut quotes = DyingTerminal::start("/bin/sh", &["-c", &script], false);
    wait_for_file(&file, "AAPL");
    quotes.die();
    let lines = || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let begun = lines();
    wait_until("a few quotes", || lines() > begun + 3);
    let before = cpu::process_seconds(quotes.id());
    let begun = lines();
    wait_until("many quotes", || lines() > begun + 40);
    let used = cpu::process_seconds(quotes.id()) - before;
    println!("40 quotes took {used:.2} s of the processor");
    assert!(used < 1.0, "{used} s");
    assert!(!quotes.has_ended());
}

// ---- terminals that can little ----

/// All that a program wrote to a terminal like that, once `text` was there and it was sent `key`.
fn written(name: &str, args: &[&str], env: &[(&str, &str)], text: &str, key: &str) -> Vec<u8> {
    let env = [&NO_SETTINGS[..], env].concat();
    let mut terminal = Terminal::start(bin(name), args, &env, (80, 24));
    terminal.wait_for_text(text, LIMIT);
    terminal.send(key);
    if key.is_empty() {
        terminal.signal("INT");
    }
    terminal.wait(LIMIT);
    terminal.bytes()
}

#[test]
fn a_terminal_without_escapes_gets_plain_lines() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    for term in ["dumb", ""] {
        let env = [("TERM", term)];
        let call = ["--log", "softphone=debug", "--server", &addr];
        let call = [&TONE[..], &call].concat();
        let quotes = ["--server", &addr, "AAPL", "--alert", "AAPL>0"];
        let listen = ["--listen", "127.0.0.1:0", "--log", "debug"];
        for (name, args, text) in [
            ("softphone", &call[..], "in call  you "),
            ("ticker-client", &quotes, "AAPL"),
            ("server", &listen, "listening"),
            (
                "softphone",
                &["doctor", "--quiet", "--server", &addr],
                "server",
            ),
        ] {
            let key = if args[0] == "doctor" { "\n" } else { "" };
            let bytes = written(name, args, &env, text, key);
            let shown = String::from_utf8_lossy(&bytes);
            assert!(!bytes.contains(&ESCAPE), "{name} TERM={term}: {shown:?}");
        }
        let args = ["--server", &addr, "--mode", "tui", "AAPL"];
        let mut demanded = Terminal::start(bin("ticker-client"), &args, &env, (80, 24));
        assert_eq!(demanded.wait(LIMIT), 2, "{demanded}");
        let said = demanded.text().replace('\n', "");
        assert!(said.contains("TERM"), "{demanded}");
    }
}

#[test]
fn a_log_has_no_colours_where_none_are_wanted() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let call = [&TONE[..], &["--log", "softphone=debug"]].concat();
    let call = [&call[..], &["--json", "--server", &addr]].concat();
    let listen = ["--listen", "127.0.0.1:0", "--log", "debug"];
    for (name, args, text) in [
        ("server", &listen[..], "listening"),
        ("softphone", &call, "connected"),
    ] {
        let bytes = written(name, args, &[("NO_COLOR", "1")], text, "");
        assert!(!bytes.contains(&ESCAPE), "{name}");
    }
}

#[test]
fn a_terminal_that_does_not_know_its_size_has_the_usual_one() {
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    let command = format!(
        "stty rows 0 cols 0; exec {} --server {addr} --mode tui AAPL",
        bin("ticker-client").display()
    );
    let args = ["-c", &command];
    let mut table = Terminal::start("/bin/sh", &args, &NO_SETTINGS, (80, 24));
    let stream = server.stream();
    stream.quote("AAPL", 225.54);
    table.wait_for_text("225.54", LIMIT);
    table.send("q");
    assert_eq!(table.wait(LIMIT), 0);

    let server = Server::start(&[]);
    let command = format!(
        "stty rows 0 cols 0; exec {} --source tone --sink null --effects none --server {}",
        bin("softphone").display(),
        server.addr()
    );
    let mut call = Terminal::start("/bin/sh", &["-c", &command], &[], (80, 24));
    call.wait_for("the call", LIMIT, is_heard);
    call.send("q");
    assert_eq!(call.wait(LIMIT), 0);
}

// ---- pipes that close ----

#[test]
fn a_reader_who_has_seen_enough_ends_nothing_badly() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    // The figures of a call are what it was for: their loss is an exit code (`softphone_json`).
    for (name, args) in [
        ("ticker-client", format!("--mode json --server {addr} AAPL")),
        ("softphone", "--help".to_owned()),
    ] {
        let program = bin(name);
        let script = format!(
            "{} {args} | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}",
            program.display()
        );
        let output = run("/bin/bash", &["-c", &script], Some(""), LIMIT);
        assert_eq!(output.stdout.trim(), "0", "{name} {args}: {output:?}");
        assert!(!output.stderr.contains("roken pipe"), "{name}: {output:?}");
        assert!(!output.stderr.contains("not be written"), "{output:?}");
    }
}

// ---- text files as editors write them ----

fn utf16(text: &str) -> Vec<u8> {
    let units = format!("\u{feff}{text}");
    units.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn settings_are_read_as_any_editor_writes_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("config.toml");
    let path = file.to_str().expect("a path in UTF-8");
    let args = ["--config", path, "--print-config"];
    let lines = ["# quotes", "", "symbols = [\"TSLA\"]", "sort = \"last\""];
    for (begin, line_end, last) in [
        ("", "\n", "\n"),
        ("\u{feff}", "\r\n", "\r\n"),
        ("\u{feff}", "\n", ""),
        ("", "\r", ""),
    ] {
        let text = format!("{begin}{}{last}", lines.join(line_end));
        fs::write(&file, &text).expect("a file");
        let output = run(bin("ticker-client"), &args, None, LIMIT);
        assert_eq!(output.code, Some(0), "{text:?}: {output:?}");
        assert!(output.stdout.contains("symbols = [\"TSLA\"]"), "{output:?}");
    }
    for (bytes, words) in [
        (utf16("symbols = [\"TSLA\"]\r\n"), "UTF-16"),
        (b"symbols = []\n# sch\xF6n\n".to_vec(), "line 2"),
    ] {
        fs::write(&file, bytes).expect("a file");
        let output = run(bin("ticker-client"), &args, None, LIMIT);
        assert_eq!(output.code, Some(2), "{output:?}");
        for words in [words, "save", "UTF-8"] {
            assert!(output.stderr.contains(words), "{words}: {output:?}");
        }
    }
}

#[test]
fn a_list_on_the_standard_input_is_read_as_any_editor_writes_it() {
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    for list in ["\u{feff}# mine\r\nAAPL\r\n\r\nTSLA", "\u{feff}AAPL\rTSLA"] {
        let args = ["--server", &addr, "--mode", "csv", "--count", "1"];
        let mut quotes = Process::start(bin("ticker-client"), &args, &[]);
        quotes.write(list);
        quotes.close_stdin();
        let stream = server.stream();
        assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"], "{list:?}");
        stream.quote("AAPL", 1.0);
        let quotes = quotes.wait(LIMIT);
        assert_eq!((quotes.code, &*quotes.stderr), (Some(0), ""), "{list:?}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("list.txt");
    fs::write(&file, utf16("AAPL\r\nTSLA\r\n")).expect("a file");
    let script = format!(
        "{} --server {addr} < {}",
        bin("ticker-client").display(),
        file.display()
    );
    let output = run("/bin/sh", &["-c", &script], None, LIMIT);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("UTF-16"), "{output:?}");
    assert_eq!(output.stderr.matches("UTF-16").count(), 1, "{output:?}");
}

#[test]
fn a_tape_is_read_as_any_editor_writes_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("tape.csv");
    let path = file.to_str().expect("a path in UTF-8");
    let args = ["--listen", "127.0.0.1:0", "--replay", path];
    let rows = [
        "ticker_symbol,current_price,volume,timestamp",
        "AAPL,1.25,100,1700000000",
        "",
        "AAPL,1.5,100,1700000001",
    ];
    for (begin, line_end) in [("", "\n"), ("\u{feff}", "\r\n")] {
        fs::write(&file, format!("{begin}{}{line_end}", rows.join(line_end))).expect("a file");
        let mut server = Process::start(bin("server"), &args, &[]);
        server.wait_for_stdout("listening", LIMIT);
        server.signal("TERM");
        let server = server.wait(LIMIT);
        assert!(server.stderr.contains("trades=2"), "{server:?}");
    }
    for (bytes, words) in [
        (utf16(&rows.join("\r\n")), "UTF-16"),
        (rows.join("\r").into_bytes(), "CR alone"),
    ] {
        fs::write(&file, bytes).expect("a file");
        let output = run(bin("server"), &args, None, LIMIT);
        assert_eq!(output.code, Some(2), "{output:?}");
        for words in [words, "save"] {
            assert!(output.stderr.contains(words), "{words}: {output:?}");
        }
    }
}
