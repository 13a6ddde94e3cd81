//! The full-screen view of `ticker-client` in a real terminal: what it shows, what keys do, and that
//! the terminal is as before when it has ended, however it ended.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use proto::fin::StockUpdate;
use tests::{
    bin,
    scripted_ticker::{ScriptedTicker, TickerStream},
    terminal::{Screen, Terminal, line_of, text},
};
use tonic::Status;

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// What a terminal sends for keys that are no characters.
const DOWN: &str = "\u{1b}[B";
const DELETE: &str = "\u{1b}[3~";
const END: &str = "\u{1b}[F";
const CONTROL_C: &str = "\u{3}";
const CONTROL_Z: &str = "\u{1a}";

const USUAL: (u16, u16) = (80, 24);

/// Starts `ticker-client --mode tui` with the settings of nobody.
fn start(server: &ScriptedTicker, args: &[&str], env: &[(&str, &str)]) -> Terminal {
    let server = server.addr().to_string();
    let args = [&["--mode", "tui", "--server", &server], args].concat();
    let env = [&NO_SETTINGS[..], env].concat();
    Terminal::start(bin("ticker-client"), &args, &env, USUAL)
}

/// The same with a server of its own, whose stream the test plays on after the first quotes.
fn client(args: &[&str]) -> (ScriptedTicker, TickerStream, Terminal) {
    let server = ScriptedTicker::start();
    let terminal = start(&server, args, &[]);
    let stream = server.stream();
    open(&stream);
    (server, stream, terminal)
}

/// A quote of each symbol; what was not asked for is not shown.
fn open(stream: &TickerStream) {
    stream.send(quote("AAPL", 225.54, 223.49));
    stream.send(quote("TSLA", 240.0, 248.5));
    stream.send(quote("F", 11.2, 11.2));
}

const NO_SETTINGS: [(&str, &str); 6] = [
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("TICKER_CLIENT_CONFIG", ""),
    ("TICKER_CLIENT_SERVER", ""),
    ("TICKER_CLIENT_SYMBOLS", ""),
    ("TICKER_CLIENT_ALERTS", ""),
    ("TICKER_CLIENT_SORT", ""),
];

fn quote(symbol: &str, price: f64, close: f64) -> StockUpdate {
    StockUpdate {
        ticker_symbol: symbol.to_owned(),
        current_price: price,
        price_change: price - close,
        change_percent: (price - close) / close * 100.0,
        timestamp: 1_700_000_000,
        volume: 100,
        sequence: 1,
        bid_price: price - 0.01,
        ask_price: price + 0.01,
        day_volume: 4_200_000,
        trade_time_us: 1_700_000_000_000_000,
        ..StockUpdate::default()
    }
}

/// Waits until these stand one under the other, at the left of the table.
fn wait_for_order(terminal: &Terminal, symbols: [&str; 3]) {
    terminal.wait_for(&format!("the order {symbols:?}"), LIMIT, |screen| {
        let text = text(screen);
        let rows = text.lines().skip(2).filter_map(|line| line.get(2..));
        let shown: Vec<_> = rows
            .filter_map(|row| row.split_whitespace().next())
            .collect();
        shown.starts_with(&symbols)
    });
}

fn is_dim(screen: &Screen, symbol: &str) -> bool {
    let line = line_of(screen, symbol);
    let cell = line.and_then(|line| screen.cell(line, 2));
    cell.is_some_and(vt100::Cell::dim)
}

/// Waits for its end, which must leave a usable terminal and this exit code.
fn ends_well(mut terminal: Terminal, code: u32) -> String {
    assert_eq!(terminal.wait(LIMIT), code, "{terminal}");
    assert!(terminal.is_usable(), "{terminal}");
    terminal.text()
}

#[test]
fn the_table_shows_each_quote_in_its_row() {
    let (_server, _stream, mut terminal) = client(&["F", "AAPL", "TSLA"]);
    terminal.wait_for_text("3 updates", LIMIT);
    let text = terminal.text();
    let row = |symbol: &str| {
        let mut lines = text.lines().skip(2);
        let line = lines.find(|line| line.contains(symbol)).expect(symbol);
        let words = line.split_whitespace().map(str::to_owned);
        words.collect::<Vec<_>>().join(" ")
    };
    let aapl = "AAPL ▲ 225.54 +2.05 +0.92% 225.53 225.55 4.20M ▄ >99d";
    assert!(row("AAPL").starts_with(&aapl[..aapl.len() - 4]), "{text}");
    let tsla = "TSLA ▼ 240.00 -8.50 -3.42% 239.99 240.01 4.20M ▄";
    assert!(row("TSLA").starts_with(tsla), "{text}");
    assert!(row("F ").starts_with("F = 11.20 0.00 0.00%"), "{text}");
    // The server's clock is years behind: that makes no quote old.
    for symbol in ["AAPL", "TSLA", "F "] {
        let row = row(symbol);
        let age = row.split(' ').next_back().expect("a word");
        assert!(age.ends_with('s') && !age.starts_with('>'), "{row}");
    }
    assert!(!terminal.is_usable(), "it has the terminal for itself");
    terminal.send("q");
    ends_well(terminal, 0);
}

#[test]
fn a_servers_clock_that_is_hours_off_makes_no_quote_older_or_younger() {
    const HOUR_US: i64 = 3_600_000_000;
    let (_server, stream, mut terminal) = client(&["AHEAD", "BEHIND", "STOOD"]);
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_us = since.expect("it is after 1970").as_micros() as i64;
    for (symbol, off_us, snapshot) in [
        ("AHEAD", 5 * HOUR_US, false),
        ("BEHIND", -5 * HOUR_US, false),
        ("STOOD", -5 * HOUR_US, true),
    ] {
        let time_us = now_us + off_us;
        stream.send(StockUpdate {
            timestamp: time_us / 1_000_000,
            trade_time_us: time_us,
            snapshot,
            ..quote(symbol, 100.0, 99.0)
        });
    }
    terminal.wait_for_text("3 updates", LIMIT);
    let age = |text: &str, symbol: &str| {
        let row = text
            .lines()
            .find(|line| line.contains(symbol))
            .expect(symbol);
        row.split_whitespace()
            .next_back()
            .expect("a word")
            .to_owned()
    };
    // At least a second of it.
    let text = terminal.wait_for("an age of a second", LIMIT, |screen| {
        ["AHEAD", "BEHIND"]
            .iter()
            .all(|symbol| !age(&text(screen), symbol).starts_with("0."))
    });
    for (symbol, begins) in [("AHEAD", ""), ("BEHIND", ""), ("STOOD", ">")] {
        let age = age(&text, symbol);
        let seconds = age
            .strip_prefix(begins)
            .and_then(|age| age.strip_suffix('s'));
        let seconds: f64 = seconds.expect(&age).parse().expect(&age);
        assert!(seconds < LIMIT.as_secs_f64(), "{text}");
    }
    terminal.send("q");
    ends_well(terminal, 0);
}

#[test]
fn symbols_are_added_and_dropped_by_keys() {
    let (_server, stream, mut terminal) = client(&["AAPL"]);
    assert_eq!(stream.requests(1), ["+AAPL"]);
    terminal.wait_for_text("225.54", LIMIT);
    // A mistake is said and stays to be mended; `q` is a letter here.
    terminal.send("atsla q$\r");
    assert_eq!(stream.requests(1), ["+TSLA"]);
    terminal.wait_for_text("cannot have '$'", LIMIT);
    terminal.wait_for_text("Add: q$", LIMIT);
    stream.send(quote("TSLA", 240.0, 248.5));
    terminal.wait_for_text("240.00", LIMIT);
    terminal.send("\u{7f}\u{7f}nope\r");
    assert_eq!(stream.requests(1), ["+NOPE"]);
    // The server's words are shown, and not obeyed.
    stream.answer(&["NOPE"], "no\u{1b}[2J\u{7}thing");
    terminal.wait_for_text("NOPE was refused: no\\u{1b}[2J\\u{7}thing", LIMIT);
    assert_eq!(terminal.bells(), 0);
    // What was added last was selected, and is gone: its neighbour is.
    terminal.wait_for_text("> TSLA", LIMIT);
    terminal.send("d");
    assert_eq!(stream.requests(1), ["-TSLA"]);
    terminal.wait_for_no_text("TSLA", LIMIT);
    terminal.send(DELETE);
    assert_eq!(stream.requests(1), ["-AAPL"]);
    terminal.wait_for_text("No symbols", LIMIT);
    terminal.send("aF\r");
    assert_eq!(stream.requests(1), ["+F"]);
    stream.send(quote("F", 11.2, 11.2));
    terminal.wait_for_text("11.20", LIMIT);
    terminal.send(CONTROL_C);
    ends_well(terminal, 0);
}

#[test]
fn a_refusal_makes_quotes_old_and_takes_no_symbol_away_that_had_some() {
    let (_server, stream, mut terminal) = client(&["AAPL", "F"]);
    terminal.wait_for_text("2 updates", LIMIT);
    stream.answer(&["AAPL", "F"], "not traded here");
    terminal.wait_for_text("AAPL, F were refused: not traded here", LIMIT);
    terminal.wait_for("old prices", LIMIT, |screen| {
        is_dim(screen, "AAPL") && is_dim(screen, "F  ") && text(screen).contains("225.54")
    });
    stream.send(quote("F", 12.0, 11.2));
    terminal.wait_for("a new one", LIMIT, |screen| {
        text(screen).contains("12.00") && !is_dim(screen, "F  ") && is_dim(screen, "AAPL")
    });
    terminal.send("q");
    ends_well(terminal, 0);
}

#[test]
fn keys_change_the_order_and_the_selection_keeps_its_symbol() {
    let (_server, stream, mut terminal) = client(&["TSLA", "F", "AAPL", "--sort", "last"]);
    wait_for_order(&terminal, ["TSLA", "AAPL", "F"]);
    terminal.send(DOWN);
    terminal.wait_for_text("> TSLA", LIMIT);
    terminal.send("S");
    terminal.wait_for_text("Last↑", LIMIT);
    wait_for_order(&terminal, ["F", "AAPL", "TSLA"]);
    terminal.wait_for_text("> TSLA", LIMIT);
    terminal.send("s");
    terminal.wait_for_text("Change↓", LIMIT);
    wait_for_order(&terminal, ["AAPL", "F", "TSLA"]);
    // A quote that comes changes it too.
    stream.send(quote("F", 20.0, 11.2));
    wait_for_order(&terminal, ["F", "AAPL", "TSLA"]);
}

#[test]
fn a_frozen_picture_stands_still_and_says_what_it_leaves_out() {
    let (_server, stream, mut terminal) = client(&["AAPL", "F"]);
    terminal.wait_for_text("2 updates", LIMIT);
    terminal.send("f");
    terminal.wait_for_text("FROZEN", LIMIT);
    stream.send(quote("AAPL", 300.0, 223.49));
    stream.send(quote("AAPL", 301.0, 223.49));
    terminal.wait_for_text("2 updates since", LIMIT);
    assert!(terminal.text().contains("225.54"), "{terminal}");
    terminal.send(" ");
    terminal.wait_for_text("301.00", LIMIT);
    terminal.wait_for_no_text("FROZEN", LIMIT);
}

#[test]
fn the_help_scrolls_on_a_small_screen_and_closes_by_its_keys() {
    let (_server, _stream, mut terminal) = client(&["AAPL"]);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.resize(40, 10);
    terminal.send("?");
    terminal.wait_for_text("add symbols", LIMIT);
    terminal.send("x");
    terminal.send(DOWN);
    terminal.wait_for_no_text("add symbols", LIMIT);
    terminal.send(END);
    terminal.wait_for_text("change, age, %", LIMIT);
    for close in ["q", "?", "\u{1b}"] {
        terminal.send(close);
        terminal.wait_for_no_text("Keys", LIMIT);
        terminal.send("?");
        terminal.wait_for_text("Keys", LIMIT);
    }
    terminal.send("qq");
    ends_well(terminal, 0);
}

/// Alerts that are typed at the selected row, and a changed list that is asked about.
#[test]
fn alerts_are_edited_in_the_table_and_the_list_is_kept_when_asked_to() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("ticker-client/config.toml");
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    std::fs::write(&file, "# mine\nsymbols = [\"AAPL\"] # two\n").expect("a file");
    let server = ScriptedTicker::start();
    let folder = home.path().to_str().expect("a path in UTF-8");
    let mut terminal = start(&server, &[], &[("XDG_CONFIG_HOME", folder)]);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.send(DOWN);
    terminal.send("e");
    terminal.wait_for_text("Alerts of", LIMIT);
    terminal.send(">$230\r");
    terminal.wait_for_no_text("Alerts of", LIMIT);
    stream.send(quote("AAPL", 230.5, 223.49));
    terminal.wait_for_text("AAPL 230.50 is above 230", LIMIT);
    assert_eq!(terminal.bells(), 1);
    terminal.send("aTSLA\r");
    assert_eq!(stream.requests(2), ["+AAPL", "+TSLA"]);
    terminal.send("q");
    terminal.wait_for_text("Keep the symbols and alerts? y/n", LIMIT);
    terminal.send("y");
    let text = ends_well(terminal, 0);
    assert!(text.contains("symbols and alerts kept in"), "{text}");
    let kept = std::fs::read_to_string(&file).expect("it is there");
    assert_eq!(
        kept,
        "# mine\nsymbols = [\"AAPL\", \"TSLA\"] # two\nalerts = [\"AAPL>230\"]\n"
    );
    // And it is what the next start begins with.
    let _terminal = start(&server, &[], &[("XDG_CONFIG_HOME", folder)]);
    assert_eq!(server.stream().requests(2), ["+AAPL", "+TSLA"]);
}

#[test]
fn a_changed_list_that_is_not_kept_is_told_as_arguments() {
    for (keys, is_told) in [("q\u{1b}", true), ("qn", false)] {
        let (_server, stream, mut terminal) = client(&["AAPL"]);
        terminal.wait_for_text("225.54", LIMIT);
        terminal.send("aF\r");
        assert_eq!(stream.requests(2), ["+AAPL", "+F"]);
        terminal.send("s");
        terminal.wait_for_text("Symbol↑", LIMIT);
        terminal.send("q");
        terminal.wait_for_text("Keep the symbols and order?", LIMIT);
        terminal.send(&keys[1..]);
        if is_told {
            terminal.wait_for_no_text("Keep the", LIMIT);
            terminal.send(CONTROL_C);
        }
        // The terminal breaks the line where it is full.
        let text = ends_well(terminal, 0).replace('\n', "");
        let told = "ticker-client AAPL F --sort symbol";
        assert_eq!(text.contains(told), is_told, "{text}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_nothing_ends() {
    let home = tempfile::tempdir().expect("a directory");
    // Where the folder should be is a file.
    std::fs::write(home.path().join("ticker-client"), "").expect("a file");
    let server = ScriptedTicker::start();
    let folder = home.path().to_str().expect("a path in UTF-8");
    let mut terminal = start(&server, &["AAPL"], &[("XDG_CONFIG_HOME", folder)]);
    let stream = server.stream();
    open(&stream);
    terminal.wait_for_text("225.54", LIMIT);
    terminal.send("aF\r");
    assert_eq!(stream.requests(2), ["+AAPL", "+F"]);
    terminal.send("qy");
    terminal.wait_for_text("was not written", LIMIT);
    terminal.send("qq");
    ends_well(terminal, 0);
}

#[test]
fn any_size_of_window_shows_something_sensible() {
    let many: Vec<_> = (10..40).map(|n| format!("S{n}")).collect();
    let symbols: Vec<_> = many.iter().map(String::as_str).collect();
    let (_server, stream, mut terminal) = client(&symbols);
    for symbol in symbols {
        stream.send(quote(symbol, 100.0, 99.0));
    }
    terminal.wait_for_text("30 updates", LIMIT);
    terminal.wait_for_text("1-21/30", LIMIT);
    // Neither a key nor a new size is lost when they come together.
    terminal.send(END);
    for ((cols, rows), place, titles) in [
        (
            (60, 15),
            "19-30/30",
            "Symbol        Last   Change        %    Vol  Age",
        ),
        ((30, 8), "26-30/30", "Symbol        Last        %"),
        ((20, 5), "29-30/30", "Symbol        Last"),
        ((200, 50), "  S10 ", "Bid       Ask    Vol Trend"),
        ((80, 24), "10-30/30", "Bid       Ask    Vol Trend"),
    ] {
        terminal.resize(cols, rows);
        // The last is still selected, and seen; nothing of the former size is left.
        let is_drawn = |screen: &Screen| {
            let text = text(screen);
            let has = |wanted: &str| text.contains(wanted);
            has(place) && has(titles) && has("> S39") && text.matches("S39").count() == 1
        };
        terminal.wait_for(&format!("{cols}x{rows}"), LIMIT, is_drawn);
    }
    // Sizes that are over before a picture is drawn; the last is the first again.
    for (cols, rows) in [(1, 1), (2, 2), (10, 3), (80, 1)] {
        terminal.resize(cols, rows);
        stream.send(quote("S39", 101.0, 99.0));
    }
    terminal.resize(80, 24);
    terminal.wait_for_text("101.00", LIMIT);
    terminal.send("q");
    ends_well(terminal, 0);
}

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
        "a_panic_gives_the_terminal_back_and_is_read_on_it",
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
fn a_lost_connection_is_said_and_its_prices_are_dim_until_it_is_back() {
    let (server, stream, mut terminal) = client(&["AAPL", "F"]);
    terminal.wait_for_text("2 updates", LIMIT);
    terminal.wait_for("bright prices", LIMIT, |screen| !is_dim(screen, "AAPL"));
    let addr = server.addr();
    drop(server);
    terminal.wait_for_text("LOST", LIMIT);
    terminal.wait_for_text("connection lost: ", LIMIT);
    terminal.wait_for("dim prices", LIMIT, |screen| {
        is_dim(screen, "AAPL") && text(screen).contains("225.54")
    });
    drop(stream);
    // The set can be changed meanwhile.
    terminal.send("aTSLA\r");
    terminal.wait_for_text("> TSLA", LIMIT);
    let back = ScriptedTicker::start_on(addr);
    let stream = back.stream();
    assert_eq!(stream.requests(3), ["+AAPL", "+F", "+TSLA"]);
    terminal.wait_for_text("connected again", LIMIT);
    stream.send(quote("AAPL", 226.0, 223.49));
    stream.send(quote("TSLA", 240.0, 248.5));
    terminal.wait_for("a bright new price", LIMIT, |screen| {
        text(screen).contains("226.00") && !is_dim(screen, "AAPL")
    });
    terminal.wait_for_text("240.00", LIMIT);
    // What has no new price is what it was.
    assert!(terminal.text().contains("11.20"), "{terminal}");
    terminal.wait_for("the old one dim", LIMIT, |screen| is_dim(screen, "F  "));
    stream.send(quote("F", 12.0, 11.2));
    terminal.wait_for("and bright", LIMIT, |screen| {
        text(screen).contains("12.00") && !is_dim(screen, "F  ")
    });
    terminal.send("qn");
    ends_well(terminal, 0);
}

/// The numbers of all SGR sequences (`ESC [ 1 ; 31 m`) in `bytes`.
fn attributes(bytes: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let sequences = text.split("\u{1b}[").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
        rest[end..].starts_with('m').then(|| rest[..end].to_owned())
    });
    let numbers = sequences.flat_map(|sequence| {
        let numbers = sequence
            .split([';', ':'])
            .map(|text| text.parse().unwrap_or(0));
        numbers.collect::<Vec<u32>>()
    });
    numbers.collect()
}

#[test]
fn no_colour_means_none_and_attributes_stay() {
    let written = |env: &[(&str, &str)]| {
        let server = ScriptedTicker::start();
        let args = ["AAPL", "TSLA", "--alert", "TSLA<300"];
        let mut terminal = start(&server, &args, env);
        let stream = server.stream();
        open(&stream);
        terminal.wait_for_text("225.54", LIMIT);
        terminal.wait_for_text("is below 300", LIMIT);
        terminal.send(DOWN);
        terminal.wait_for_text("> AAPL", LIMIT);
        drop(server);
        terminal.wait_for_text("LOST", LIMIT);
        terminal.send("q");
        terminal.wait(LIMIT);
        attributes(&terminal.bytes())
    };
    let is_colour = |number: &u32| *number >= 30;
    let attributes = written(&[("NO_COLOR", "1")]);
    assert!(!attributes.iter().any(is_colour), "{attributes:?}");
    // Bold, dim, underlined and reversed say it.
    for number in [1, 2, 4, 7] {
        assert!(attributes.contains(&number), "{number}: {attributes:?}");
    }
    for env in [&[][..], &[("NO_COLOR", "")]] {
        assert!(written(env).iter().any(is_colour));
    }
}

#[test]
fn an_alert_rings_once_and_marks_its_row() {
    let (_server, stream, terminal) = client(&["AAPL", "--alert", "TSLA>250"]);
    terminal.wait_for_text("240.00", LIMIT);
    assert_eq!(terminal.bells(), 0);
    stream.send(quote("TSLA", 250.31, 248.5));
    terminal.wait_for_text("! TSLA", LIMIT);
    terminal.wait_for_text("TSLA 250.31 is above 250", LIMIT);
    terminal.wait_for("a bold row", LIMIT, |screen| {
        let line = line_of(screen, "! TSLA").expect("it is there");
        screen.cell(line, 2).is_some_and(vt100::Cell::bold)
    });
    stream.send(quote("TSLA", 251.0, 248.5));
    terminal.wait_for_text("251.00", LIMIT);
    assert_eq!(terminal.bells(), 1);
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
