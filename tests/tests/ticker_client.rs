//! `ticker-client` without its screen: what it asks for, shows and says, against servers that the
//! test plays.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{
    Output, Process, Server, bin, run, scripted_ticker::ScriptedTicker, terminal::Terminal,
};
use tonic::Status;

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A person's home, with no configuration file at first.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn configure(&self, text: &str) {
        let dir = self.0.path().join("ticker-client");
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("config.toml"), text).expect("a file");
    }

    /// Starts `ticker-client`, its standard input open and no stream a terminal.
    fn start(&self, args: &[&str], variables: &[(&str, &str)]) -> Process {
        let home = self.0.path().to_str().expect("a path in UTF-8");
        let mut env = vec![("XDG_CONFIG_HOME".to_owned(), home.to_owned())];
        for (name, value) in variables {
            env.push(((*name).to_owned(), (*value).to_owned()));
        }
        Process::start(bin("ticker-client"), args, &env)
    }

    /// Runs it to its end, without input.
    fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut process = self.start(args, variables);
        process.close_stdin();
        process.wait(LIMIT)
    }
}

/// A client of a server that the test plays, in a home without a configuration.
fn start(server: &ScriptedTicker, args: &[&str]) -> Process {
    let addr = server.addr().to_string();
    let args = [&["--server", &addr], args].concat();
    Home::new().start(&args, &[])
}

fn interrupted(mut client: Process) -> Output {
    client.signal("INT");
    let output = client.wait(LIMIT);
    assert_eq!(output.code, Some(0), "Ctrl-C is a good end: {output:?}");
    output
}

#[test]
fn after_an_outage_the_current_set_is_asked_for() {
    let server = ScriptedTicker::start();
    let addr = server.addr();
    let mut client = start(&server, &["AAPL", "TSLA"]);
    let stream = server.stream();
    assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
    client.write("nvda, -aapl\n");
    assert_eq!(stream.requests(1), ["+NVDA"], "no word of AAPL yet");
    stream.quote("TSLA", 1.0);
    client.wait_for_stdout("TSLA", LIMIT);
    drop(server);
    client.wait_for_stderr("is lost", LIMIT);
    client.wait_for_stderr("no connection to", LIMIT);
    // What is typed while nobody is there holds as well.
    client.write("-TSLA +F\n");
    let server = ScriptedTicker::start_on(addr);
    client.wait_for_stderr("again", LIMIT);
    let stream = server.stream();
    assert_eq!(stream.requests(2), ["+NVDA", "+F"]);
    stream.quote("TSLA", 2.0);
    stream.quote("F", 3.0);
    client.wait_for_stdout("F  ", LIMIT);
    let output = interrupted(client);
    assert_eq!(output.stdout.lines().count(), 2, "{}", output.stdout);
}

#[test]
fn a_server_that_says_why_it_goes_is_quoted_and_asked_again() {
    let server = ScriptedTicker::start();
    let client = start(&server, &["AAPL"]);
    let stream = server.stream();
    stream.end(Status::unavailable("closing for\u{7} the night"));
    let lost = client.wait_for_stderr("is lost", LIMIT);
    assert!(lost.contains("the night") && !lost.contains('\u{7}'));
    assert_eq!(server.stream().requests(1), ["+AAPL"]);
    client.wait_for_stderr("again", LIMIT);
}

#[test]
fn a_real_server_that_comes_back_is_found_again() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    let home = Home::new();
    let mut client = home.start(&["--server", &addr, "AAPL", "--json"], &[]);
    client.write("tsla\n-AAPL\n");
    client.wait_for_stdout("TSLA", LIMIT);
    server.kill();
    client.wait_for_stderr("is lost", LIMIT);
    let before = client.stdout().lines().count();
    let _server = Server::start_on(&addr, &["--tick", "20ms"], &[]);
    client.wait_for_stderr("again", LIMIT);
    let deadline = Instant::now() + LIMIT;
    while client.stdout().lines().count() < before + 10 {
        assert!(Instant::now() < deadline, "no quotes any more\n{client}");
        thread::sleep(Duration::from_millis(5));
    }
    let output = interrupted(client);
    let after: Vec<_> = output.stdout.lines().skip(before).collect();
    assert!(after.iter().all(|line| line.contains("TSLA")), "{after:?}");
}

#[test]
fn a_server_that_answers_is_asked_to_stop_sending() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL", "TSLA", "F"]);
    let stream = server.stream();
    stream.requests(3);
    client.write("-AAPL\nNVDA\n");
    assert_eq!(stream.requests(1), ["+NVDA"]);
    stream.answer(&[], "");
    assert_eq!(stream.requests(1), ["-AAPL"]);
    client.write("-tsla -tsla -none +aapl\n");
    assert_eq!(stream.requests(2), ["-TSLA", "+AAPL"]);
    drop(stream);
    let output = client.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("no more quotes"), "{output:?}");
}

#[test]
fn what_is_not_understood_is_said_and_forgotten() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL"]);
    let stream = server.stream();
    stream.requests(1);
    client.write("+ $$$, --A\u{1b}[2J help tsla\n");
    assert_eq!(stream.requests(2), ["+HELP", "+TSLA"]);
    let said = interrupted(client).stderr;
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[test]
fn a_refused_symbol_costs_nothing_but_itself() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL", "NONE"]);
    let stream = server.stream();
    stream.requests(2);
    stream.answer(&["NONE"], "not\u{1b}[2J traded here");
    let said = client.wait_for_stderr("NONE is refused", LIMIT);
    assert!(said.contains("traded here") && !said.contains('\u{1b}'));
    stream.quote("AAPL", 1.0);
    client.wait_for_stdout("AAPL", LIMIT);
    client.write("-AAPL ALSO.NONE\n");
    assert_eq!(stream.requests(2), ["-AAPL", "+ALSO.NONE"]);
    stream.answer(&["ALSO.NONE"], "not traded here");
    let output = client.wait(LIMIT);
    assert_eq!(output.code, Some(4), "nothing is left: {output:?}");
}

#[test]
fn an_original_servers_refusal_of_an_added_symbol_spares_the_others() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL"]);
    let stream = server.stream();
    client.write("tsla none\n");
    assert_eq!(stream.requests(3), ["+AAPL", "+TSLA", "+NONE"]);
    stream.quote("TSLA", 1.0);
    client.wait_for_stdout("TSLA", LIMIT);
    stream.end(Status::invalid_argument("I know no such company"));
    let said = client.wait_for_stderr("NONE is refused", LIMIT);
    assert!(said.contains("no such company"), "{said}");
    assert_eq!(server.stream().requests(2), ["+AAPL", "+TSLA"]);
}

#[test]
fn an_original_servers_refusal_of_an_argument_ends_it() {
    for status in [
        Status::invalid_argument("I know no such company"),
        Status::resource_exhausted("at most 1 symbol"),
        Status::unimplemented("what?"),
    ] {
        let server = ScriptedTicker::start();
        let mut client = start(&server, &["NONE"]);
        let why = status.message().to_owned();
        server.stream().end(status);
        let output = client.wait(LIMIT);
        assert_eq!(output.code, Some(4), "{output:?}");
        assert!(output.stderr.contains(&why), "{output:?}");
    }
}

#[test]
fn a_time_limit_is_a_good_end_whatever_comes() {
    let server = ScriptedTicker::start();
    for args in [
        &["AAPL", "--duration", "300ms"][..],
        &["AAPL", "--duration=1ms"],
    ] {
        let mut client = start(&server, args);
        let output = client.wait(LIMIT);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
    }
}

#[test]
fn a_reader_that_stops_holds_the_server_back() {
    const UPDATES: usize = 20_000;
    let server = ScriptedTicker::start();
    let script = "exec 3<&0; \"$0\" --server \"$1\" AAPL --json </dev/null | { read go <&3; cat; }";
    let (program, addr) = (bin("ticker-client"), server.addr().to_string());
    let program = program.to_str().expect("a path in UTF-8");
    let mut client = Process::start("/bin/sh", &["-c", script, program, &addr], &[]);
    let stream = server.stream();
    let sent = Arc::new(AtomicUsize::new(0));
    let sender = thread::spawn({
        let sent = Arc::clone(&sent);
        move || {
            for number in 1..=UPDATES {
                stream.quote("AAPL", number as f64);
                sent.store(number, Ordering::Relaxed);
            }
        }
    });
    // Until nothing more has gone out for a second, or everything has.
    let deadline = Instant::now() + LIMIT;
    let mut before = 0;
    let held = loop {
        assert!(Instant::now() < deadline, "it never stops");
        thread::sleep(Duration::from_secs(1));
        let now = sent.load(Ordering::Relaxed);
        if now > 0 && now == before {
            break now;
        }
        before = now;
    };
    println!("{held} updates are on the way to a reader who does not read");
    // The pipe alone holds 64 KiB, some five hundred lines.
    assert!(held < 3_000, "{held} old updates wait somewhere");
    client.write("go\n");
    client.wait_for_stdout(&format!("{UPDATES}.0"), LIMIT);
    sender.join().expect("all was sent");
}

#[test]
fn csv_can_be_read_back_by_its_header() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL", "BRK.B", "--mode", "csv", "--count", "2"]);
    let stream = server.stream();
    stream.quote("AAPL", 225.5);
    stream.send(proto::fin::StockUpdate {
        ticker_symbol: "BRK.B".to_owned(),
        current_price: 490.25,
        sequence: 9,
        snapshot: true,
        bid_price: 490.24,
        day_volume: 5_000_000_000,
        ..Default::default()
    });
    let output = client.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{output:?}");
    let rows: Vec<Vec<_>> = output
        .stdout
        .lines()
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 3, "{}", output.stdout);
    let field = |row: usize, name: &str| {
        let column = rows[0].iter().position(|column| *column == name);
        rows[row][column.expect(name)]
    };
    assert_eq!(field(1, "ticker_symbol"), "AAPL");
    assert_eq!(field(1, "current_price"), "225.5");
    assert_eq!(field(1, "bid_price"), "");
    assert_eq!(field(2, "ticker_symbol"), "BRK.B");
    assert_eq!(field(2, "snapshot"), "true");
    assert_eq!(field(2, "bid_price"), "490.24");
    assert_eq!(field(2, "day_volume"), "5000000000");
}

#[test]
fn alerts_are_said_once_for_each_crossing_and_stand_in_the_json() {
    let server = ScriptedTicker::start();
    let alerts = [
        "--json",
        "--alert",
        "AAPL > 250",
        "--alert",
        "tsla<=1",
        "--count",
        "6",
    ];
    let mut client = start(&server, &alerts);
    let stream = server.stream();
    assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
    for price in [249.0, 250.31, 251.0, f64::NAN, 250.0] {
        stream.quote("AAPL", price);
    }
    stream.quote("TSLA", 0.5);
    let output = client.wait(LIMIT);
    assert_eq!(
        output.stderr,
        "alert: AAPL 250.31 is above 250\nalert: TSLA 0.50 is at or below 1\n"
    );
    let alerts: Vec<_> = output
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
        .map(|update| update["alerts"].to_string())
        .collect();
    assert_eq!(
        alerts,
        [
            "null",
            "[\"AAPL>250\"]",
            "null",
            "null",
            "null",
            "[\"TSLA<=1\"]"
        ]
    );
}

#[test]
fn a_dropped_symbol_says_that_its_alert_waits() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL", "F", "--alert", "AAPL>$1,000"]);
    let stream = server.stream();
    stream.requests(2);
    client.write("-aapl\n");
    client.wait_for_stderr(
        "AAPL is dropped; its alert AAPL>1000 waits until it is added again",
        LIMIT,
    );
    client.write("aapl\n");
    assert_eq!(stream.requests(1), ["+AAPL"]);
    stream.quote("AAPL", 1_001.0);
    client.wait_for_stderr("alert: AAPL 1001.00 is above 1000", LIMIT);
    interrupted(client);
}

#[test]
fn a_setting_comes_from_the_first_that_has_it() {
    let home = Home::new();
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    let asked = |args: &[&str], variables: &[(&str, &str)], count| {
        let _client = home.start(args, variables);
        server.stream().requests(count)
    };
    home.configure(&format!("server = \"{addr}\"\nsymbols = [\"F\", \"T\"]\n"));
    assert_eq!(asked(&[], &[], 2), ["+F", "+T"]);
    let variables = [("TICKER_CLIENT_SYMBOLS", "E,V")];
    assert_eq!(asked(&[], &variables, 2), ["+E", "+V"]);
    assert_eq!(asked(&["A"], &variables, 1), ["+A"]);

    let printed = home.run(&["--print-config", "--json"], &variables);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for line in [
        &*format!("server = \"{addr}\" # {}", home.0.path().display()),
        "symbols = [\"E\", \"V\"] # TICKER_CLIENT_SYMBOLS",
        "mode = \"json\" # --json",
        "alerts = [] # default",
    ] {
        assert!(printed.stdout.contains(line), "{}", printed.stdout);
    }

    // Another file, named either way.
    let other = home.0.path().join("other.toml");
    let other_path = other.to_str().expect("a path in UTF-8");
    fs::write(&other, format!("server = \"{addr}\"\nsymbols = [\"O\"]\n")).expect("a file");
    assert_eq!(asked(&["--config", other_path], &[], 1), ["+O"]);
    assert_eq!(
        asked(&[], &[("TICKER_CLIENT_CONFIG", other_path)], 1),
        ["+O"]
    );
}

#[test]
fn the_defaults_can_be_printed_without_a_symbol() {
    let printed = Home::new().run(&["--print-config"], &[]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    for line in [
        "# symbols = [] # default",
        "# mode = \"tui\" # default: tui on",
    ] {
        assert!(printed.stdout.contains(line), "{}", printed.stdout);
    }
}

#[test]
fn a_printed_configuration_decides_nothing_that_nobody_decided() {
    let home = Home::new();
    let printed = home.run(&["--print-config"], &[]);
    home.configure(&printed.stdout);
    // As on a terminal, where the table is the default.
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    let folder = home.0.path().to_str().expect("a path in UTF-8");
    let env = [("XDG_CONFIG_HOME", folder)];
    let mut terminal = Terminal::start(
        bin("ticker-client"),
        &["--server", &addr, "AAPL"],
        &env,
        (80, 24),
    );
    let stream = server.stream();
    stream.quote("AAPL", 225.54);
    terminal.wait_for_text("q quit", LIMIT);
    terminal.send("q");
    assert_eq!(terminal.wait(LIMIT), 0);
    // A demand is printed although this output is no terminal.
    let printed = home.run(&["--print-config", "--mode", "tui"], &[]);
    assert_eq!(printed.code, Some(0), "{printed:?}");
    assert!(
        printed.stdout.contains("\nmode = \"tui\" # --mode"),
        "{printed:?}"
    );
}

#[test]
fn symbols_can_come_from_a_file_alone() {
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["--count", "1"]);
    client.write("# mine\naapl\n");
    client.close_stdin();
    let stream = server.stream();
    assert_eq!(stream.requests(1), ["+AAPL"]);
    stream.quote("AAPL", 1.0);
    let output = client.wait(LIMIT);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{output:?}");

    // The last one is dropped, and nobody can name another.
    let mut client = start(&server, &[]);
    client.write("aapl\n-zzz -aapl\n");
    client.wait_for_stderr("ZZZ is none of", LIMIT);
    client.close_stdin();
    let output = client.wait(LIMIT);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("standard input"), "{output:?}");
}

#[test]
fn a_symbol_that_had_quotes_outlives_a_refusal() {
    let server = ScriptedTicker::start();
    let addr = server.addr();
    let client = start(&server, &["AAPL", "NVDA"]);
    let stream = server.stream();
    stream.quote("AAPL", 1.0);
    stream.quote("NVDA", 1.0);
    client.wait_for_stdout("NVDA", LIMIT);
    drop(server);
    client.wait_for_stderr("no connection to", LIMIT);
    // Another server for a while, which knows neither.
    let server = ScriptedTicker::start_on(addr);
    let stream = server.stream();
    stream.answer(&["AAPL", "NVDA"], "not traded here");
    client.wait_for_stderr("NVDA is refused", LIMIT);
    stream.end(Status::unavailable("closing"));
    let stream = server.stream();
    assert_eq!(stream.requests(2), ["+AAPL", "+NVDA"]);
    stream.quote("NVDA", 2.0);
    client.wait_for_stdout("2.00", LIMIT);
    interrupted(client);
}

#[test]
fn wrong_settings_are_told_before_anything_is_connected_to() {
    let home = Home::new();
    let wrong = |args: &[&str], variables: &[(&str, &str)], words: &[&str]| {
        let output = home.run(args, variables);
        assert_eq!(output.code, Some(2), "{output:?}");
        for words in words {
            assert!(output.stderr.contains(words), "{}", output.stderr);
        }
        assert!(!output.stderr.contains('\u{7}'), "{:?}", output.stderr);
    };
    let ways = ["arguments", "TICKER_CLIENT_SYMBOLS", "configuration file"];
    wrong(&[], &[], &ways);
    wrong(&["A", "--alert", "A=\u{7}3"], &[], &["SYMBOL OP PRICE"]);
    wrong(
        &["A", "--mode", "fast"],
        &[],
        &["tui", "plain", "json", "csv"],
    );
    wrong(&["A", "--mode", "tui"], &[], &["terminal"]);
    wrong(&["A", "--duration", "10"], &[], &["10s"]);
    wrong(&["A", "--config", "/nowhere.toml"], &[], &["/nowhere.toml"]);
    wrong(
        &["A"],
        &[("TICKER_CLIENT_MODE", "fast")],
        &["TICKER_CLIENT_MODE", "csv"],
    );
    home.configure("symbols = [\"A\"]\n\ncolour = 3\n");
    wrong(&[], &[], &["config.toml, line 3", "colour", "symbols = ["]);
}

#[test]
fn a_shell_completes_all_programs() {
    for (program, before, begun, expected) in [
        ("server", "", "--lis", "--listen"),
        ("softphone", "", "doc", "doctor"),
        ("ticker-client", "--mode", "", "tui plain json csv"),
        (
            "ticker-client",
            "--sort",
            "vol",
            "volume volume:asc volume:desc",
        ),
    ] {
        for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
            let output = run(bin(program), &["--completions", shell], None, LIMIT);
            assert_eq!(output.code, Some(0), "{program} {shell}: {output:?}");
            assert!(output.stdout.contains(program), "{program} {shell}");
        }
        let script = run(bin(program), &["--completions", "bash"], None, LIMIT).stdout;
        completes_in_bash(&script, program, before, begun, expected);
    }
}

/// Has bash read the script, and complete `begun` behind the word `before` (empty: none) with it.
fn completes_in_bash(script: &str, program: &str, before: &str, begun: &str, expected: &str) {
    if !Path::new("/bin/bash").exists() {
        return tests::skip("there is no bash");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), script).expect("it is written");
    let path = file.path().to_str().expect("a path in UTF-8");
    let command = r#"
        bash -n "$0" && . "$0" || exit
        function=$(complete -p "$1") && function=${function#* -F } && function=${function%% *}
        COMP_WORDS=("$1" $2 "$3") COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        $function "$1" "$3" "${2:-$1}"
        echo "${COMPREPLY[@]}"
    "#;
    let args = ["--norc", "-c", command, path, program, before, begun];
    let output = run("/bin/bash", &args, None, LIMIT);
    assert_eq!(output.code, Some(0), "{program}: {output:?}");
    assert_eq!((output.stdout.trim(), &*output.stderr), (expected, ""));
}

#[test]
fn on_a_terminal_nothing_need_be_asked_for_at_first_and_an_alert_rings_the_bell() {
    let server = ScriptedTicker::start();
    let addr = server.addr().to_string();
    let args = ["--server", &addr, "--mode", "plain"];
    let start = |args: &[&str]| {
        let env = [("XDG_CONFIG_HOME", "/nowhere")];
        Terminal::start(bin("ticker-client"), args, &env, (80, 24))
    };
    let mut terminal = start(&args);
    let stream = server.stream();
    terminal.send("tsla\n");
    assert_eq!(stream.requests(1), ["+TSLA"]);
    drop(terminal);

    let mut terminal = start(&[&args[..], &["--alert", "F>1", "--count", "1"]].concat());
    let stream = server.stream();
    assert_eq!(stream.requests(1), ["+F"]);
    stream.quote("F", 2.0);
    assert_eq!(terminal.wait(LIMIT), 0);
    assert!(
        terminal.text().contains("F 2.00 is above 1"),
        "{}",
        terminal.text()
    );
    assert_eq!(terminal.bells(), 1);
}

/// `ticker-client --mode plain` on a terminal, among the settings of nobody.
fn plain_on_a_terminal(server: &ScriptedTicker, args: &[&str]) -> Terminal {
    let addr = server.addr().to_string();
    let args = [&["--server", &addr, "--mode", "plain"], args].concat();
    let env = [("XDG_CONFIG_HOME", "/nowhere")];
    Terminal::start(bin("ticker-client"), &args, &env, (120, 24))
}

#[test]
fn a_list_that_was_changed_by_typing_is_said_as_arguments_at_the_end() {
    const CONTROL_C: &str = "\u{3}";
    const SAID: &str = "The list was changed and is not kept. To have it again: ticker-client ";
    let args = ["AAPL", "APPL", "F", "--alert", "F>1000"];
    for (typed, requests, arguments) in [
        ("-f\ntsla\n", &["+TSLA"][..], Some("AAPL APPL TSLA")),
        // Both the server's doing: what it refuses is nobody's change.
        ("", &[], None),
        ("typo\n", &["+TYPO"], None),
        (
            "-aapl\naapl\n",
            &["+AAPL"],
            Some("F APPL AAPL --alert 'F>1000'"),
        ),
    ] {
        let server = ScriptedTicker::start();
        let mut terminal = plain_on_a_terminal(&server, &args);
        let stream = server.stream();
        assert_eq!(stream.requests(3), ["+AAPL", "+APPL", "+F"]);
        terminal.send(typed);
        assert_eq!(stream.requests(requests.len()), requests);
        stream.answer(&["TYPO", "APPL"], "not listed here");
        terminal.wait_for_text("APPL is refused", LIMIT);
        terminal.send(CONTROL_C);
        assert_eq!(terminal.wait(LIMIT), 0);
        let text = terminal.text();
        match arguments {
            Some(arguments) => {
                let said = format!("{SAID}{arguments}\n");
                assert!(text.contains(&said), "{typed:?}: {text}");
            }
            None => assert!(!text.contains(SAID), "{typed:?}: {text}"),
        }
    }
}

#[test]
fn a_changed_list_is_said_at_every_end_and_only_to_a_person() {
    const SAID: &str = "To have it again: ticker-client AAPL TSLA";
    // Enough, and a server that refuses to go on.
    for (is_rejected, code) in [(false, 0), (true, 4)] {
        let server = ScriptedTicker::start();
        let mut terminal = plain_on_a_terminal(&server, &["AAPL", "--count", "1"]);
        let stream = server.stream();
        terminal.send("tsla\n");
        assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
        match is_rejected {
            false => stream.quote("TSLA", 1.0),
            true => stream.end(Status::permission_denied("you have not paid")),
        }
        assert_eq!(terminal.wait(LIMIT), code, "{terminal}");
        assert!(terminal.text().contains(SAID), "{terminal}");
    }
    // A list that comes through a pipe is kept where it comes from.
    let server = ScriptedTicker::start();
    let mut client = start(&server, &["AAPL", "--mode", "plain", "--count", "1"]);
    client.write("tsla\n");
    let stream = server.stream();
    assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
    stream.quote("TSLA", 1.0);
    let output = client.wait(LIMIT);
    assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{output:?}");
}
