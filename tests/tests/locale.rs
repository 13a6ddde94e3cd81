//! The three programs in locales without UTF-8: what people read is ASCII, what programs read is not
//! touched.
#![cfg(target_os = "linux")]

use std::{fs, time::Duration};

use tests::{Output, Process, Server, bin, terminal::Terminal};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A call without devices.
const TONE: [&str; 6] = ["--source", "tone", "--sink", "null", "--effects", "none"];

const NO_SETTINGS: [(&str, &str); 3] = [
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("XDG_STATE_HOME", "/nonexistent"),
    ("TICKER_CLIENT_CONFIG", ""),
];

#[test]
fn a_locale_without_utf_8_gets_screens_and_lines_in_ascii() {
    let server = Server::start(&["--tick", "20ms"]);
    let addr = server.addr().to_string();
    let quotes = ["--server", &addr, "AAPL", "TSLA", "F"];
    let plain = [&quotes[..], &["--mode", "plain", "--count", "50"]].concat();
    let tone = [&TONE[..], &["--server", &addr]].concat();
    for locale in ["C", "POSIX", "de_DE.ISO-8859-1"] {
        let env = [("LC_ALL", locale)];
        for (name, args, text, key) in [
            ("softphone", &tone[..], "in call", "dq"),
            ("softphone", &["devices"], "", ""),
            ("softphone", &["--help"], "", ""),
            ("ticker-client", &quotes, "connected", "?qq"),
            ("ticker-client", &plain, "AAPL", "\n"),
            ("ticker-client", &["--help"], "", ""),
            ("server", &["--help"], "", ""),
        ] {
            let env = [&NO_SETTINGS[..], &env].concat();
            let mut terminal = Terminal::start(bin(name), args, &env, (80, 24));
            if !text.is_empty() {
                terminal.wait_for_text(text, LIMIT);
                terminal.send(key);
            }
            terminal.wait(LIMIT);
            let bytes = terminal.bytes();
            let shown = String::from_utf8_lossy(&bytes);
            assert!(bytes.is_ascii(), "{name} {args:?} {locale}: {shown}");
        }
    }
}

/// What is for programs is UTF-8 everywhere.
#[test]
fn a_locale_changes_nothing_of_what_programs_read() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let args = [
        "--json",
        "--synthetic",
        "--duration",
        "1s",
        "--call",
        "é→",
        "--alone",
        "echo",
    ];
    let args = [&args[..], &["--server", &addr]].concat();
    let env = [("LC_ALL".to_owned(), "C".to_owned())];
    let call = Process::start(bin("softphone"), &args, &env).wait(LIMIT);
    assert!(call.stdout.contains("\"é→\""), "{call:?}");
    assert!(call.stderr.contains("(call ?->)"), "{call:?}");
}

/// A program that repeats an `é` of what it was given.
struct Repeats<'a> {
    name: &'a str,
    args: Vec<&'a str>,
    variable: Option<(&'a str, &'a str)>,
    code: i32,
}

impl<'a> Repeats<'a> {
    /// A mistake: exit code 2.
    fn args(name: &'a str, args: &[&'a str]) -> Self {
        Self {
            name,
            args: args.to_vec(),
            variable: None,
            code: 2,
        }
    }

    fn with(self, name: &'a str, value: &'a str) -> Self {
        Self {
            variable: Some((name, value)),
            ..self
        }
    }

    fn ending_with(self, code: i32) -> Self {
        Self { code, ..self }
    }

    fn run(&self, locale: &str) -> Output {
        let env = [&NO_SETTINGS[..], &[("LC_ALL", locale)]].concat();
        let env = env.iter().chain(&self.variable);
        let env: Vec<_> = env
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut process = Process::start(bin(self.name), &self.args, &env);
        process.close_stdin();
        process.wait(LIMIT)
    }
}

#[test]
fn what_is_repeated_of_settings_and_mistakes_is_ascii_there_and_itself_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    };
    let settings = file("é.toml", "symbols = [\"F\"]\n");
    let bad_settings = file("bad-é.toml", "symbols = 3\n");
    let bad_value = file("value.toml", "symbols = [\"é\"]\n");
    let bad_tape = file("é.csv", "nothing\n");
    let nowhere = "/nonexistent/é";
    let ticker = |args: &[&'static str]| Repeats::args("ticker-client", args);
    let of_file = |path| Repeats::args("ticker-client", &["--config", path]);
    let printed = ["--print-config", "--config", &settings];
    for program in [
        ticker(&["--é"]),
        ticker(&["--count", "é", "F"]),
        ticker(&["é"]),
        ticker(&["F", "--alert", "F>é"]),
        ticker(&["F", "--mode", "é"]),
        ticker(&["F", "--sort", "é"]),
        ticker(&[]).with("TICKER_CLIENT_SYMBOLS", "é"),
        ticker(&["F"]).with("TICKER_CLIENT_ALERTS", "F>é"),
        ticker(&["F"]).with("TICKER_CLIENT_CONFIG", nowhere),
        of_file(nowhere),
        of_file(&bad_settings),
        of_file(&bad_value),
        Repeats::args("ticker-client", &printed).ending_with(0),
        Repeats::args("server", &["--é"]),
        Repeats::args("server", &["--seed", "é"]),
        Repeats::args("server", &["--log", "é=é=é"]),
        Repeats::args("server", &["--replay", nowhere]),
        Repeats::args("server", &["--replay", &bad_tape]),
        Repeats::args("softphone", &["--é"]),
        Repeats::args("softphone", &["--codec", "é"]),
        Repeats::args("softphone", &["--source", "é"]),
        Repeats::args("softphone", &["--source", "/nonexistent/é.wav"]),
        Repeats::args("softphone", &["--log", "é=é=é"]),
        Repeats::args("softphone", &["doctor", "é"]),
    ] {
        let what = format!("{} {:?} {:?}", program.name, program.args, program.variable);
        let said = |output: &Output| format!("{}{}", output.stdout, output.stderr);
        let usual = program.run("C.UTF-8");
        assert_eq!(usual.code, Some(program.code), "{what}: {usual:?}");
        assert!(said(&usual).contains('é'), "{what}: {usual:?}");
        let plain = program.run("C");
        assert_eq!(plain.code, usual.code, "{what}");
        assert!(said(&plain).is_ascii(), "{what}: {plain:?}");
        assert_eq!(
            said(&plain).matches('?').count() - said(&usual).matches('?').count(),
            said(&usual).matches('é').count(),
            "{what}: {plain:?}"
        );
    }
}

/// A log is for people too.
#[test]
fn a_log_is_ascii_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let tape = folder.path().join("é.csv");
    let text = "ticker_symbol,current_price,volume,timestamp\nAAPL,1.25,100,1700000000\n";
    fs::write(&tape, text).expect("a file");
    for (locale, name) in [("C", "?.csv"), ("C.UTF-8", "é.csv")] {
        let env = [("LC_ALL".to_owned(), locale.to_owned())];
        let tape = tape.to_str().expect("a path in UTF-8");
        let args = ["--listen", "127.0.0.1:0", "--replay", tape];
        let mut server = Process::start(bin("server"), &args, &env);
        server.wait_for_stdout("listening", LIMIT);
        server.wait_for_stderr(name, LIMIT);
        server.signal("TERM");
        let output = server.wait(LIMIT);
        assert_eq!(output.stderr.is_ascii(), locale == "C", "{output:?}");
    }
}
