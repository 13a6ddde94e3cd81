//! What the table shows, in which order, and in which colours.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::fin::StockUpdate;
use tests::{
    scripted_ticker::ScriptedTicker,
    terminal::{Screen, line_of, text},
};

use crate::{DOWN, END, LIMIT, client, ends_well, is_dim, open, quote, start};

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
