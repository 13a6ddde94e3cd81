//! Events and wishes in, rows and changes out.

use super::*;

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn at(seconds: u64) -> Moment {
    Moment {
        since_start: Duration::from_secs(seconds),
    }
}

fn list(symbols: &[&str]) -> Watchlist {
    let mut list = Watchlist::new(symbols.iter().map(|text| symbol(text)), Sort::default());
    list.take(FeedEvent::Connected, at(0));
    list
}

fn quote(text: &str, price: f64) -> FeedEvent {
    FeedEvent::Update(Box::new(StockUpdate {
        ticker_symbol: text.to_owned(),
        current_price: price,
        price_change: price - 100.0,
        change_percent: price - 100.0,
        ..StockUpdate::default()
    }))
}

fn lost(why: &str) -> FeedEvent {
    FeedEvent::Lost {
        why: why.to_owned(),
        retry_in: Duration::from_secs(4),
    }
}

/// The symbols on a screen with room for all, the selected one in brackets.
fn shown(list: &mut Watchlist) -> String {
    window(list, usize::MAX)
}

fn window(list: &mut Watchlist, lines: usize) -> String {
    let places = list.scroll(lines);
    let symbols = list.rows(places).map(|row| match list.is_selected(row) {
        true => format!("[{}]", row.symbol()),
        false => row.symbol().to_string(),
    });
    symbols.collect::<Vec<_>>().join(" ")
}

fn price(list: &mut Watchlist, of: &str) -> f64 {
    let places = list.scroll(usize::MAX);
    let mut rows = list.rows(places);
    let row = rows.find(|row| row.symbol().as_str() == of).expect("a row");
    row.quote()
        .map_or(0.0, |quote| quote.update().current_price)
}

#[test]
fn rows_stand_as_given_each_once() {
    let mut list = list(&["TSLA", "AAPL", "TSLA", "MSFT"]);
    assert_eq!(shown(&mut list), "TSLA AAPL MSFT");
}

#[test]
fn rows_are_sorted_by_what_is_known_and_the_unknown_is_last_either_way() {
    let mut list = list(&["B", "NONE", "A", "NAN", "C"]);
    for (text, price) in [("A", 101.0), ("B", 99.0), ("C", 150.0), ("NAN", f64::NAN)] {
        list.take(quote(text, price), at(0));
    }
    for (sort, expected) in [
        ("given:desc", "C NAN A NONE B"),
        ("symbol", "A B C NAN NONE"),
        ("last", "C A B NONE NAN"),
        ("last:asc", "B A C NONE NAN"),
        ("change", "C A B NONE NAN"),
        ("percent:asc", "B A C NONE NAN"),
    ] {
        list.sort_by(sort.parse().expect(sort));
        assert_eq!(shown(&mut list), expected, "{sort}");
    }
}

#[test]
fn the_selection_stays_on_its_symbol_when_the_order_changes() {
    let mut list = list(&["A", "B", "C"]);
    assert_eq!(shown(&mut list), "A B C");
    list.select(Move::Down(1));
    list.select(Move::Down(1));
    assert_eq!(shown(&mut list), "A [B] C");
    list.sort_by(Sort::by(SortBy::Last));
    for (text, price) in [("A", 1.0), ("B", 2.0), ("C", 3.0)] {
        list.take(quote(text, price), at(0));
    }
    assert_eq!(shown(&mut list), "C [B] A");
    list.take(quote("B", 9.0), at(0));
    assert_eq!(shown(&mut list), "[B] C A");
    list.select(Move::Up(1));
    list.select(Move::Down(99));
    assert_eq!(shown(&mut list), "B C [A]");
    list.unselect();
    assert_eq!(shown(&mut list), "B C A");
}

#[test]
fn what_is_dropped_is_gone_and_its_neighbour_selected() {
    let mut list = list(&["A", "B", "C"]);
    assert_eq!(list.drop_selected(at(0)), None);
    assert!(
        list.notice(at(0))
            .is_some_and(|text| text.contains("select"))
    );
    list.select(Move::First);
    list.select(Move::Down(1));
    assert_eq!(list.drop_selected(at(0)), Some(Change::Drop(symbol("B"))));
    assert_eq!(shown(&mut list), "A [C]");
    list.take(quote("B", 1.0), at(0)); // was on its way
    assert_eq!(list.updates(), 0);
    assert_eq!(list.drop_selected(at(0)), Some(Change::Drop(symbol("C"))));
    assert_eq!(list.drop_selected(at(0)), Some(Change::Drop(symbol("A"))));
    assert_eq!(shown(&mut list), "");
    assert_eq!(list.drop_selected(at(0)), None);
    // The places of the others are still right.
    list.add(symbol("D"), at(0));
    list.take(quote("D", 4.0), at(0));
    assert_eq!(price(&mut list, "D"), 4.0);
}

#[test]
fn what_is_added_is_selected_and_asked_for_once() {
    let mut list = list(&["A"]);
    assert_eq!(list.add(symbol("B"), at(0)), Some(Change::Add(symbol("B"))));
    assert_eq!(shown(&mut list), "A [B]");
    assert_eq!(list.add(symbol("A"), at(0)), None);
    assert!(
        list.notice(at(0))
            .is_some_and(|text| text.contains("already"))
    );
    assert_eq!(shown(&mut list), "[A] B");
}

#[test]
fn what_is_refused_is_gone_and_said_in_clean_words() {
    let mut list = list(&["A", "B"]);
    let why = "no\u{1b}[2Jsuch ".to_owned() + &"x".repeat(10_000);
    let refused = FeedEvent::Refused {
        symbol: symbol("A"),
        why,
        stays: false,
    };
    list.take(refused, at(1));
    assert_eq!(shown(&mut list), "B");
    let notice = list.notice(at(2)).expect("something is said");
    assert!(notice.starts_with("A was refused: no"), "{notice}");
    assert!(notice.len() < 500 && !notice.contains('\u{1b}'), "{notice}");
    assert_eq!(list.notice(at(12)), None, "not for ever");
}

#[test]
fn what_is_refused_and_stays_is_old_until_its_next_quote() {
    let mut list = list(&["A", "B"]);
    list.take(quote("A", 1.0), at(0));
    list.take(quote("B", 1.0), at(0));
    list.toggle_freeze(at(0));
    let refused = FeedEvent::Refused {
        symbol: symbol("A"),
        why: "no".to_owned(),
        stays: true,
    };
    list.take(refused, at(1));
    assert_eq!(list.notice(at(1)).as_deref(), Some("A was refused: no"));
    assert_eq!(current(&mut list), [false, true]);
    list.toggle_freeze(at(2));
    assert_eq!(shown(&mut list), "A B");
    assert_eq!(current(&mut list), [false, true]);
    list.take(quote("A", 2.0), at(3));
    assert_eq!(current(&mut list), [true, true]);
}

#[test]
fn a_frozen_picture_stands_still_and_counts_what_it_leaves_out() {
    let mut list = list(&["A", "B"]);
    list.sort_by(Sort::by(SortBy::Last));
    list.take(quote("A", 2.0), at(0));
    list.take(quote("B", 1.0), at(0));
    list.toggle_freeze(at(3));
    for _ in 0..5 {
        list.take(quote("B", 9.0), at(4));
    }
    assert_eq!(price(&mut list, "B"), 1.0);
    assert_eq!(shown(&mut list), "A B");
    assert_eq!(list.frozen(), Some((Duration::from_secs(3), 5)));
    // Order and set can be changed meanwhile.
    list.add(symbol("C"), at(5));
    list.sort_by("symbol:desc".parse().expect("an order"));
    assert_eq!(shown(&mut list), "[C] B A");
    list.drop_selected(at(5));
    assert_eq!(shown(&mut list), "[B] A");
    list.toggle_freeze(at(6));
    assert_eq!(price(&mut list, "B"), 9.0);
    assert_eq!(list.frozen(), None);
    assert_eq!(list.updates(), 7);
}

#[test]
fn a_loss_is_one_loss_however_often_it_is_tried_again() {
    let mut list = list(&["A", "B"]);
    list.take(quote("A", 1.0), at(0));
    list.take(quote("B", 1.0), at(0));
    list.take(lost("gone"), at(10));
    assert_eq!(
        list.notice(at(10)).as_deref(),
        Some("connection lost: gone")
    );
    list.take(lost("refused\n"), at(14));
    let expected = Link::Lost {
        since: Duration::from_secs(10),
        why: "refused\\n".to_owned(),
        retry_at: Duration::from_secs(18),
    };
    assert_eq!(*list.link(), expected);
    assert_eq!(current(&mut list), [false, false]);
    assert_eq!(price(&mut list, "A"), 1.0, "the last price stays");
    list.take(FeedEvent::Connected, at(18));
    assert_eq!(*list.link(), Link::Connected);
    // A row is as good as before once it has a quote of the new connection.
    list.take(quote("B", 1.0), at(18));
    assert_eq!(current(&mut list), [false, true]);
}

fn current(list: &mut Watchlist) -> Vec<bool> {
    let places = list.scroll(usize::MAX);
    let quotes = list.rows(places).filter_map(Row::quote);
    quotes.map(Quote::is_current).collect()
}

#[test]
fn an_alarm_rings_once_and_marks_its_row_for_a_while() {
    let mut list = list(&["A", "B"]);
    list.raise_alarm(&symbol("B"), "B is above 250\u{7}", at(1));
    assert!(list.take_bell());
    assert!(!list.take_bell());
    assert!(list.is_alarmed(&symbol("B"), at(2)));
    assert!(!list.is_alarmed(&symbol("A"), at(2)));
    assert_eq!(list.notice(at(2)).as_deref(), Some("B is above 250\\u{7}"));
    assert!(!list.is_alarmed(&symbol("B"), at(20)));
}

#[test]
fn a_window_follows_the_selection_and_shows_as_much_as_there_is() {
    let names: Vec<_> = (0..10).map(|n| format!("S{n}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut list = list(&names);
    assert_eq!(window(&mut list, 3), "S0 S1 S2");
    list.select(Move::Last);
    assert_eq!(window(&mut list, 3), "S7 S8 [S9]");
    list.select(Move::Up(1));
    assert_eq!(window(&mut list, 3), "S7 [S8] S9");
    list.select(Move::Up(4));
    assert_eq!(window(&mut list, 3), "[S4] S5 S6");
    // A higher screen is filled, a lower one keeps the selected row, none shows none.
    assert_eq!(window(&mut list, 8), "S2 S3 [S4] S5 S6 S7 S8 S9");
    list.select(Move::Last);
    assert_eq!(window(&mut list, 1), "[S9]");
    assert_eq!(window(&mut list, 0), "");
    list.unselect();
    assert_eq!(window(&mut list, 2), "S0 S1");
}
