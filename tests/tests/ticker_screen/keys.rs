//! What keys do.

use tests::terminal::{Terminal, text};

use crate::{CONTROL_C, DOWN, END, LIMIT, client, ends_well, quote};

const DELETE: &str = "\u{1b}[3~";

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
