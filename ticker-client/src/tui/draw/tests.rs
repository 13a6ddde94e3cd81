//! Pictures of the screen, compared with those in `tui/snapshots` to the last character.
//!
//! A picture is its text, a line of dashes, and how each character stands out: B bold, D dim,
//! R reversed, U underlined, b bold and underlined, r bold and reversed; or g, e, y for green, red
//! and yellow where it is only coloured. `UPDATE_SNAPSHOTS=1 cargo test -p ticker-client` writes them
//! anew; look at the difference before you commit it.

use std::{env, fs, path::PathBuf};

use proto::{Symbol, fin::StockUpdate};
use ratatui::{Terminal, backend::TestBackend, style::Color};

use super::*;
use crate::{
    alert::Alerts,
    feed_event::FeedEvent,
    keep::Edits,
    tui::{
        keys::{HELP, Select},
        prompt::Edit,
        screen::Screen,
    },
    watchlist::{Move, Sort, Watchlist},
};

const COLOURED: Theme = Theme { colour: true };
const PLAIN: Theme = Theme { colour: false };

const START_US: i64 = 1_700_000_000_000_000;

fn at(ms: u64) -> Moment {
    Moment {
        since_start: Duration::from_millis(ms),
    }
}

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn update(text: &str, price: f64, close: f64, ms: u64) -> StockUpdate {
    StockUpdate {
        ticker_symbol: text.to_owned(),
        current_price: price,
        price_change: price - close,
        change_percent: (price - close) / close * 100.0,
        timestamp: START_US / 1_000_000 + ms as i64 / 1_000,
        volume: 12_300,
        sequence: 1 + ms,
        bid_price: price - 0.01,
        ask_price: price + 0.01,
        day_volume: 4_200_000,
        trade_time_us: START_US + 1_000 * ms as i64,
        ..StockUpdate::default()
    }
}

fn quote(screen: &mut Screen, update: StockUpdate, ms: u64) {
    screen.take(FeedEvent::Update(Box::new(update)), at(ms));
}

fn screen_of(symbols: &[&str], alerts: &[&str]) -> Screen {
    let symbols = symbols.iter().map(|text| symbol(text));
    let alerts = alerts.iter().map(|text| text.parse().expect("an alert"));
    let list = Watchlist::new(symbols, Sort::default());
    let file = Some("/home/me/.config/ticker-client/config.toml".into());
    let mut screen = Screen::new(list, Alerts::new(alerts.collect()), file);
    screen.take(FeedEvent::Connected, at(0));
    screen
}

/// Rising, falling and level ones, a penny stock, an original server's, one that nothing is known
/// of; three prices five seconds apart.
fn market() -> Screen {
    let symbols = ["AAPL", "TSLA", "F", "BRK.A", "PENNY", "OLD", "ABCDEFGHIJKL"];
    let mut screen = screen_of(&symbols, &["TSLA<240"]);
    for (n, step) in [0.0, 2.0, 1.0].into_iter().enumerate() {
        let ms = 5_000 * n as u64;
        quote(&mut screen, update("AAPL", 225.54 + step, 223.49, ms), ms);
        quote(
            &mut screen,
            update("TSLA", 245.0 - 5.0 * step, 248.5, ms),
            ms,
        );
        quote(&mut screen, update("F", 11.2, 11.2, ms), ms);
        quote(&mut screen, update("BRK.A", 700_123.5 + step, 7e5, ms), ms);
        quote(&mut screen, update("PENNY", 0.4321, 0.4444, ms), ms);
    }
    let original = StockUpdate {
        sequence: 0,
        ..update("OLD", 101.25, 100.0, 0)
    };
    quote(&mut screen, original, 10_000);
    screen
}

fn lose(screen: &mut Screen, ms: u64) {
    let event = FeedEvent::Lost {
        why: "the server or the network went away".to_owned(),
        retry_in: Duration::from_millis(3_500),
    };
    screen.take(event, at(ms));
}

/// The screen as a test's terminal shows it.
fn drawn(screen: &mut Screen, size: (u16, u16), ms: u64, theme: Theme) -> Buffer {
    let backend = TestBackend::new(size.0, size.1);
    let mut terminal = Terminal::new(backend).expect("a terminal in memory");
    let server = "quotes.lan".parse().expect("an address");
    terminal
        .draw(|frame| draw(frame, screen, &server, at(ms), theme))
        .expect("a terminal in memory");
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer, mut of: impl FnMut(&ratatui::buffer::Cell) -> String) -> String {
    let mut text = String::new();
    for row in buffer.area.rows() {
        let line: String = row
            .columns()
            .map(|at| of(&buffer[at.as_position()]))
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn text(buffer: &Buffer) -> String {
    lines(buffer, |cell| cell.symbol().to_owned())
}

fn look(cell: &ratatui::buffer::Cell) -> &'static str {
    let has = |modifier| cell.modifier.contains(modifier);
    let bold = has(Modifier::BOLD);
    match cell.fg {
        _ if has(Modifier::REVERSED) && bold => "r",
        _ if has(Modifier::UNDERLINED) && bold => "b",
        _ if has(Modifier::REVERSED) => "R",
        _ if has(Modifier::UNDERLINED) => "U",
        _ if has(Modifier::DIM) => "D",
        _ if bold => "B",
        Color::Green => "g",
        Color::Red => "e",
        Color::Yellow => "y",
        _ => " ",
    }
}

/// Compares with the picture of that name.
fn matches_snapshot(name: &str, buffer: &Buffer) {
    let dashes = "-".repeat(usize::from(buffer.area.width));
    let looks = lines(buffer, |cell| look(cell).to_owned());
    let drawn = format!("{}{dashes}\n{looks}", text(buffer));
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/tui/snapshots")
        .join(format!("{name}.txt"));
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, drawn).expect("the snapshots can be written");
        return;
    }
    // A checkout may have given it other ends of lines.
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let expected = expected.replace("\r\n", "\n");
    assert!(
        drawn == expected,
        "{} differs.\n--- expected:\n{expected}\n--- drawn:\n{drawn}",
        path.display()
    );
}

#[test]
fn connected() {
    let mut screen = market();
    screen.list.select(Move::First);
    let buffer = drawn(&mut screen, (80, 24), 10_400, COLOURED);
    matches_snapshot("connected", &buffer);
}

#[test]
fn lost() {
    let mut screen = market();
    lose(&mut screen, 22_000);
    let buffer = drawn(&mut screen, (80, 24), 24_000, COLOURED);
    matches_snapshot("lost", &buffer);
}

#[test]
fn back_and_half_renewed() {
    let mut screen = market();
    lose(&mut screen, 22_000);
    screen.take(FeedEvent::Connected, at(26_000));
    let renewed = update("AAPL", 230.0, 223.49, 26_000);
    quote(&mut screen, renewed, 26_100);
    let buffer = drawn(&mut screen, (80, 24), 26_500, COLOURED);
    matches_snapshot("back", &buffer);
}

#[test]
fn help() {
    let mut screen = market();
    screen.open = Open::Help;
    let buffer = drawn(&mut screen, (80, 24), 10_400, PLAIN);
    matches_snapshot("help", &buffer);
}

#[test]
fn help_on_a_small_screen_scrolls() {
    let mut screen = market();
    screen.open = Open::Help;
    let first = drawn(&mut screen, (40, 10), 10_400, PLAIN);
    matches_snapshot("help-40x10", &first);
    let mut seen = String::new();
    for _ in 0..20 {
        seen += &text(&drawn(&mut screen, (40, 10), 10_400, PLAIN));
        screen.help.scroll(Select::PageDown);
    }
    for (key, _) in HELP {
        assert!(seen.contains(key), "{key}: {seen}");
    }
    assert!(seen.contains("change, age, %"), "{seen}");
    let last = drawn(&mut screen, (40, 10), 10_400, PLAIN);
    assert_ne!(text(&first), text(&last));
}

#[test]
fn a_question_stands_at_the_foot_and_its_keys_are_seen_where_it_is_narrow() {
    let mut screen = screen_of(&["AAPL", "F"], &[]);
    screen.list.sort_by("last".parse().expect("an order"));
    let key = crossterm::event::KeyCode::Char('q').into();
    screen.key(&key, at(0));
    let wide = text(&drawn(&mut screen, (80, 24), 0, PLAIN));
    let question = "Keep the order? y/n, Esc: stay  (/home/me/.config/ticker-client/config.toml)";
    assert!(wide.contains(question), "{wide}");
    let low = text(&drawn(&mut screen, (30, 2), 0, PLAIN));
    assert!(low.contains("Keep the order? y/n"), "{low}");
}

#[test]
fn names_stand_where_there_is_room() {
    let mut screen = market();
    let named = StockUpdate {
        name: "Apple".to_owned(),
        ..update("AAPL", 226.54, 223.49, 10_300)
    };
    quote(&mut screen, named, 10_300);
    let long = StockUpdate {
        name: "Berkshire Hathaway, the first class of its shares".to_owned(),
        ..update("BRK.A", 700_124.5, 7e5, 10_300)
    };
    quote(&mut screen, long, 10_300);
    // It stays when a later quote does not say it.
    quote(&mut screen, update("AAPL", 226.54, 223.49, 10_350), 10_350);
    let usual = text(&drawn(&mut screen, (80, 24), 10_400, PLAIN));
    assert!(!usual.contains("Apple"), "{usual}");
    let buffer = drawn(&mut screen, (110, 12), 10_400, PLAIN);
    matches_snapshot("110x12", &buffer);
}

#[test]
fn a_currency_has_its_decimals() {
    let mut screen = screen_of(&["EURUSD=X", "USDJPY=X"], &[]);
    quote(&mut screen, update("EURUSD=X", 1.084, 1.083, 0), 0);
    quote(&mut screen, update("USDJPY=X", 143.9542, 143.0, 0), 0);
    let shown = text(&drawn(&mut screen, (80, 24), 0, PLAIN));
    assert!(shown.contains("1.08400 +0.00100"), "{shown}");
    assert!(shown.contains("143.9542  +0.9542"), "{shown}");
}

#[test]
fn prompt_with_a_mistake() {
    let mut screen = market();
    let mut prompt = Prompt::default();
    prompt.edit(Edit::Insert("msft g$ooz".to_owned()));
    prompt.submit();
    screen.open = Open::Prompt(prompt);
    let buffer = drawn(&mut screen, (80, 24), 10_400, PLAIN);
    matches_snapshot("prompt", &buffer);
}

#[test]
fn empty() {
    let mut screen = screen_of(&[], &[]);
    let buffer = drawn(&mut screen, (80, 24), 0, PLAIN);
    matches_snapshot("empty", &buffer);
}

#[test]
fn frozen_sorted_and_scrolled() {
    let names: Vec<_> = (0..50).map(|n| format!("S{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut screen = screen_of(&names, &[]);
    for (n, name) in names.iter().enumerate() {
        quote(&mut screen, update(name, 100.0 + n as f64, 120.0, 0), 0);
    }
    screen.list.sort_by("percent".parse().expect("an order"));
    screen.list.select(Move::Down(1));
    screen.list.select(Move::Down(30));
    screen.list.toggle_freeze(at(1_000));
    quote(&mut screen, update("S1", 1.0, 120.0, 1_500), 1_500);
    let buffer = drawn(&mut screen, (80, 24), 6_000, PLAIN);
    matches_snapshot("frozen", &buffer);
}

#[test]
fn narrow() {
    for (name, size) in [("60x15", (60, 15)), ("30x8", (30, 8)), ("20x5", (20, 5))] {
        let mut screen = market();
        let buffer = drawn(&mut screen, size, 10_400, PLAIN);
        matches_snapshot(name, &buffer);
    }
}

#[test]
fn wide() {
    let mut screen = market();
    let buffer = drawn(&mut screen, (200, 12), 10_400, PLAIN);
    matches_snapshot("200x12", &buffer);
}

#[test]
fn any_size_will_do_whatever_is_open() {
    let sizes = [1, 2, 3, 4, 5, 8, 13, 20, 41, 79, 400];
    for (width, height) in sizes.into_iter().flat_map(|w| sizes.map(|h| (w, h))) {
        for lost in [false, true] {
            let mut screen = market();
            if lost {
                lose(&mut screen, 22_000);
                screen.list.toggle_freeze(at(22_000));
            }
            screen.list.select(Move::Last);
            drawn(&mut screen, (width, height), 23_000, COLOURED);
            screen.open = Open::Help;
            drawn(&mut screen, (width, height), 23_000, COLOURED);
            screen.open = Open::Question(Edits::default());
            drawn(&mut screen, (width, height), 23_000, COLOURED);
            let mut prompt = Prompt::default();
            prompt.edit(Edit::Insert("$ 界界界界界 ".repeat(20)));
            prompt.submit();
            screen.open = Open::Prompt(prompt);
            drawn(&mut screen, (width, height), 23_000, COLOURED);
        }
    }
}

#[test]
fn without_colour_there_is_none_and_nothing_is_lost() {
    let with = |theme| {
        let mut screen = market();
        drawn(&mut screen, (80, 24), 10_400, theme)
    };
    let (plain, coloured) = (with(PLAIN), with(COLOURED));
    assert_eq!(text(&plain), text(&coloured));
    let uses_colour = |buffer: &Buffer| {
        let is_coloured =
            |cell: &ratatui::buffer::Cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset);
        buffer.content.iter().any(is_coloured)
    };
    assert!(uses_colour(&coloured));
    assert!(!uses_colour(&plain));
}

#[test]
fn of_a_thousand_symbols_only_a_screenful_is_written() {
    let names: Vec<_> = (0..1_000).map(|n| format!("S{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut screen = screen_of(&names, &[]);
    drawn(&mut screen, (80, 24), 0, PLAIN);
    // Also as many as fit, when there are more than before.
    for height in [24, 50, 10] {
        table::ROWS_FORMATTED.set(0);
        drawn(&mut screen, (80, height), 0, PLAIN);
        assert_eq!(table::ROWS_FORMATTED.get(), usize::from(height) - 3);
    }
}

#[test]
fn a_servers_words_cannot_play_with_the_terminal() {
    let hostile = "\u{1b}[2J\u{7}\n\u{202e}e\u{301}\u{301}界👨‍👩‍👧‍👦".repeat(1_000);
    let mut screen = market();
    let refused = FeedEvent::Refused {
        symbol: symbol("OLD"),
        why: hostile.clone(),
        stays: false,
    };
    screen.take(refused, at(2_000));
    let lost = FeedEvent::Lost {
        why: hostile,
        retry_in: Duration::MAX,
    };
    screen.take(lost, at(2_000));
    for width in 1..130 {
        let buffer = drawn(&mut screen, (width, 24), 10_400, COLOURED);
        for cell in &buffer.content {
            assert!(proto::text::is_printable(cell.symbol()), "{cell:?}");
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_column() {
    let mut screen = screen_of(&["NAN", "INF", "HUGE"], &[]);
    for (name, value) in [("NAN", f64::NAN), ("INF", f64::INFINITY), ("HUGE", 1e300)] {
        let strange = StockUpdate {
            ticker_symbol: name.to_owned(),
            current_price: value,
            price_change: -value,
            change_percent: value,
            timestamp: i64::MIN,
            volume: i32::MIN,
            sequence: u64::MAX,
            bid_price: value,
            ask_price: -value,
            day_volume: u64::MAX,
            trade_time_us: i64::MIN,
            ..StockUpdate::default()
        };
        quote(&mut screen, strange, 0);
    }
    let buffer = drawn(&mut screen, (80, 8), 10_400, PLAIN);
    matches_snapshot("strange", &buffer);
}

#[test]
fn a_notice_that_is_too_long_for_a_line_gets_more_and_a_low_screen_keeps_its_rows() {
    let mut screen = screen_of(&["AAPL", "TSLA"], &["AAPL>250", "TSLA%<-2"]);
    quote(&mut screen, update("AAPL", 260.0, 223.49, 0), 0);
    quote(&mut screen, update("TSLA", 240.0, 248.5, 0), 0);
    let text = |size: (u16, u16), screen: &mut Screen| {
        let buffer = drawn(screen, size, 0, PLAIN);
        let symbols = buffer.content().iter().map(ratatui::buffer::Cell::symbol);
        symbols.collect::<String>()
    };
    let high = text((40, HIGH), &mut screen);
    for words in ["AAPL 260.00 is above 250;", "which is", "below -2%"] {
        assert!(high.contains(words), "{words}: {high}");
    }
    let low = text((40, 4), &mut screen);
    assert!(low.contains("TSLA") && low.contains("AAPL 260.00 is above 250;"));
    assert!(!low.contains("below -2%"), "{low}");
}
