//! The settings of command lines, environments and files that were made up.

use std::path::Path;

use clap::Parser;

use super::*;

const SCREEN: Terminals = Terminals {
    input: true,
    output: true,
    dumb: false,
};
const FILE: &str = "/home/me/config.toml";

fn merged(
    args: &[&str],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Settings, SettingsError> {
    let args = Args::try_parse_from([&["ticker-client"], args].concat()).expect("arguments");
    let value = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| OsString::from(value))
    };
    let flags = Layer::of_args(&args)?;
    let environment = Layer::of_environment(value, &flags)?;
    let file = file::parse(Path::new(FILE), file)?;
    Ok(Settings::merge([flags, environment, file]))
}

fn error(args: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    let error = merged(args, variables, file).expect_err("wrong settings");
    error.to_string()
}

/// A file that sets every key.
const ALL: &str = "\
server = \"file.lan\"
symbols = [\"F\", \"brk.b\"]
mode = \"csv\"
alerts = [\"F>1\", \"TSLA % < -2\"]
sort = \"last\"
";

/// An environment that sets every key.
const VARIABLES: [(&str, &str); 5] = [
    ("TICKER_CLIENT_SERVER", "env.lan"),
    ("TICKER_CLIENT_SYMBOLS", "e,nv"),
    ("TICKER_CLIENT_MODE", "plain"),
    ("TICKER_CLIENT_ALERTS", "E>1,NV<=2"),
    ("TICKER_CLIENT_SORT", "change"),
];

/// The same on the command line.
const FLAGS: [&str; 9] = [
    "A",
    "--server=args.lan",
    "--mode=json",
    "--alert=A>1",
    "--alert",
    "AA%<-1",
    "--sort",
    "volume",
    "AA",
];

#[test]
fn the_file_goes_before_the_defaults() {
    let settings = merged(&[], &[], ALL).expect("settings");
    assert_eq!(
        settings.to_string(),
        "server = \"file.lan:50051\" # /home/me/config.toml\n\
         symbols = [\"F\", \"BRK.B\"] # /home/me/config.toml\n\
         mode = \"csv\" # /home/me/config.toml\n\
         alerts = [\"F>1\", \"TSLA%<-2\"] # /home/me/config.toml\n\
         sort = \"last\" # /home/me/config.toml\n"
    );
}

#[test]
fn the_environment_goes_before_the_file() {
    let settings = merged(&[], &VARIABLES, ALL).expect("settings");
    assert_eq!(
        settings.to_string(),
        "server = \"env.lan:50051\" # TICKER_CLIENT_SERVER\n\
         symbols = [\"E\", \"NV\"] # TICKER_CLIENT_SYMBOLS\n\
         mode = \"plain\" # TICKER_CLIENT_MODE\n\
         alerts = [\"E>1\", \"NV<=2\"] # TICKER_CLIENT_ALERTS\n\
         sort = \"change\" # TICKER_CLIENT_SORT\n"
    );
}

#[test]
fn the_command_line_goes_before_all() {
    let settings = merged(&FLAGS, &VARIABLES, ALL).expect("settings");
    assert_eq!(
        settings.to_string(),
        "server = \"args.lan:50051\" # --server\n\
         symbols = [\"A\", \"AA\"] # SYMBOL\n\
         mode = \"json\" # --mode\n\
         alerts = [\"A>1\", \"AA%<-1\"] # --alert\n\
         sort = \"volume\" # --sort\n"
    );
}

#[test]
fn each_key_is_decided_for_itself_and_an_empty_variable_decides_nothing() {
    let variables = [("TICKER_CLIENT_MODE", ""), ("TICKER_CLIENT_SORT", "symbol")];
    let file = "symbols = [\"F\"]\nsort = \"last\"\n";
    let settings = merged(&["--json"], &variables, file).expect("settings");
    assert_eq!(
        settings.to_string(),
        "# server = \"127.0.0.1:50051\" # default\n\
         symbols = [\"F\"] # /home/me/config.toml\n\
         mode = \"json\" # --json\n\
         # alerts = [] # default\n\
         sort = \"symbol\" # TICKER_CLIENT_SORT\n"
    );
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let settings = merged(&FLAGS, &[], "").expect("settings");
    let again = merged(&[], &[], &settings.to_string()).expect("settings");
    assert_eq!(again.subscriptions(), settings.subscriptions());
    assert_eq!(again.alerts.value, settings.alerts.value);
    let mode = |settings: &Settings| settings.mode.as_ref().map(|mode| mode.value);
    assert_eq!(mode(&again), mode(&settings));
}

#[test]
fn what_nobody_decided_is_not_decided_by_what_is_printed() {
    // As `ticker-client --print-config > config.toml` does, whose output is no terminal.
    let settings = merged(&[], &[], "").expect("settings");
    let printed = settings.to_string();
    assert!(
        printed.lines().all(|line| line.starts_with("# ")),
        "{printed}"
    );
    let again = merged(&[], &[], &printed).expect("settings");
    assert_eq!(again, settings);
    assert_eq!(again.mode_on(SCREEN).expect("a mode"), Mode::Tui);
    // Also a habit that this output does not allow, and a demand.
    for (args, file) in [(&[][..], "mode = \"tui\""), (&["--mode", "tui"], "")] {
        let printed = merged(args, &[], file).expect("settings").to_string();
        assert!(printed.contains("\nmode = \"tui\" # "), "{printed}");
    }
}

#[test]
fn a_variable_holds_alerts_as_people_type_them() {
    let variables = [("TICKER_CLIENT_ALERTS", "AAPL > $1,000, TSLA -2% F<1")];
    let settings = merged(&[], &variables, "").expect("settings");
    let alerts = settings.alerts.value.iter().map(ToString::to_string);
    assert_eq!(
        alerts.collect::<Vec<_>>(),
        ["AAPL>1000", "TSLA%<=-2", "F<1"]
    );
}

#[test]
fn the_screen_is_for_terminals() {
    let mode = |args: &[&str], file: &str, input, output| {
        let terminals = Terminals {
            input,
            output,
            dumb: false,
        };
        merged(args, &[], file)?.mode_on(terminals)
    };
    let tui = "mode = \"tui\"";
    for (file, input, output, expected) in [
        ("", true, true, Mode::Tui),
        ("", true, false, Mode::Plain),
        ("", false, true, Mode::Plain),
        (tui, true, true, Mode::Tui),
        // A habit, which a pipe need not share.
        (tui, true, false, Mode::Plain),
        ("mode = \"json\"", true, true, Mode::Json),
    ] {
        let mode = mode(&["A"], file, input, output).expect("a mode");
        assert_eq!(mode, expected, "{file}, {input}, {output}");
    }
    let dumb = Terminals {
        dumb: true,
        ..SCREEN
    };
    let mode_on_dumb = |args: &[&str], file: &str| merged(args, &[], file)?.mode_on(dumb);
    for file in ["", tui] {
        let mode = mode_on_dumb(&["A"], file).expect("a mode");
        assert_eq!(mode, Mode::Plain, "{file}");
    }
    let demanded = mode_on_dumb(&["A", "--mode", "tui"], "");
    assert!(matches!(demanded, Err(SettingsError::NoTerminal)));
    let demanded = mode(&["A", "--mode", "tui"], "", true, false);
    assert!(matches!(demanded, Err(SettingsError::NoTerminal)));
}

#[test]
fn symbols_need_not_be_named_at_first() {
    let settings = merged(&[], &[], "symbols = []").expect("settings");
    assert!(settings.subscriptions().is_empty());
    let said = SettingsError::NoSymbols.to_string();
    for way in [
        "arguments",
        "standard input",
        "TICKER_CLIENT_SYMBOLS",
        "configuration file",
    ] {
        assert!(said.contains(way), "{said}");
    }
}

#[test]
fn a_symbol_that_only_an_alert_names_is_subscribed_to() {
    let args = [
        "F",
        "--alert",
        "F>1",
        "--alert",
        "TSLA%<2",
        "--alert=TSLA>3",
    ];
    let settings = merged(&args, &[], "").expect("settings");
    let subscribed = settings.subscriptions();
    let subscribed: Vec<_> = subscribed.iter().map(Symbol::as_str).collect();
    assert_eq!(subscribed, ["F", "TSLA"]);
    assert!(merged(&["--alert", "F>1"], &[], "").is_ok());
}

#[test]
fn whoever_said_something_wrong_is_named() {
    for (args, variable, words) in [
        (&["A$"][..], ("", ""), "SYMBOL: the symbol \"A$\" cannot"),
        (&["A", "--server", "a:b:c"], ("", ""), "--server: use HOST"),
        (&["--alert", "A=3"], ("", ""), "--alert: there is none of"),
        (
            &[],
            ("TICKER_CLIENT_SYMBOLS", "A,B$"),
            "TICKER_CLIENT_SYMBOLS: the symbol \"B$\" cannot",
        ),
        (
            &["A"],
            ("TICKER_CLIENT_MODE", "jsno"),
            "TICKER_CLIENT_MODE: \"jsno\" is no mode; use tui",
        ),
        (
            &["A"],
            ("TICKER_CLIENT_ALERTS", "A>3,B"),
            "TICKER_CLIENT_ALERTS: there is none of",
        ),
        (
            &["A"],
            ("TICKER_CLIENT_SERVER", "http://a"),
            "TICKER_CLIENT_SERVER: use HOST",
        ),
    ] {
        let said = error(args, &[variable], "");
        assert!(said.starts_with(words), "{said}");
    }
}

#[test]
fn a_variable_that_an_argument_goes_before_is_not_even_read() {
    let wrong = VARIABLES.map(|(name, _)| (name, "$$$"));
    let settings = merged(&FLAGS, &wrong, "").expect("settings");
    let mode = |settings: Settings| settings.mode.expect("somebody said it");
    assert_eq!(mode(settings).origin, Origin::CommandLine("--mode"));
    let settings = merged(&["--json"], &[("TICKER_CLIENT_MODE", "foo")], "");
    assert_eq!(mode(settings.expect("settings")).value, Mode::Json);
    // A file's mistakes are its own: it is read as a whole.
    assert!(merged(&FLAGS, &[], "mode = \"foo\"").is_err());
}

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_what_may_stand_there() {
    for (file, line, words) in [
        ("\n\ncolour = true\n", 3, "unknown field `colour`"),
        (
            "mode = \"plain\"\nserver = 3",
            2,
            "a text in quotation marks",
        ),
        ("mode = \"fast\"", 1, "\"fast\" is no mode; use tui"),
        (
            "# mine\nsymbols = [\n  \"AAPL\",\n  \"A$\",\n]",
            4,
            "cannot have '$'",
        ),
        ("symbols = \"AAPL\"", 1, "expected a sequence"),
        ("alerts = [\"AAPL>250\", 3]", 1, "a text in quotation marks"),
        ("alerts = [\"AAPL=250\"]", 1, "none of > >= < <="),
        ("server = \"a:b:c\"", 1, "use HOST or HOST:PORT"),
        ("mode = \"json\"\nmode = \"csv\"", 2, "duplicate key"),
        ("mode = \"json\n", 1, ""),
        ("a\u{7}b", 1, ""),
        ("[symbols]\n", 1, ""),
    ] {
        let said = error(&["A"], &[], file);
        let place = format!("{FILE}, line {line}: ");
        assert!(said.starts_with(&place), "{file:?}: {said}");
        assert!(said.contains(words), "{file:?}: {said}");
        assert!(said.contains("symbols = [\"AAPL\""), "{file:?}: {said}");
        assert!(!said.contains('\u{7}'), "{said:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = file::read(Path::new("/nowhere/at/all.toml")).expect_err("no file");
    let said = error.to_string();
    assert!(said.contains("/nowhere/at/all.toml"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStringExt;

    let value = |name: &str| (name == "TICKER_CLIENT_SORT").then(|| OsString::from_vec(vec![0xff]));
    let not_text = Layer::of_environment(value, &Layer::default()).expect_err("not text");
    assert!(not_text.to_string().starts_with("TICKER_CLIENT_SORT: "));
}
