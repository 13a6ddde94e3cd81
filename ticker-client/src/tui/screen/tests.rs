use crossterm::event::{KeyCode, KeyModifiers};
use proto::Symbol;

use super::*;
use crate::watchlist::Sort;

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn screen(symbols: &[&str]) -> Screen {
    let symbols = symbols.iter().map(|text| symbol(text));
    Screen::new(
        Watchlist::new(symbols, Sort::default()),
        Alerts::default(),
        Some("/home/me/config.toml".into()),
    )
}

/// Presses one key after the other; `\n` is Enter and `\u{1b}` Esc.
fn press(screen: &mut Screen, keys: &str) -> Vec<Wish> {
    let press = |c| {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            c => KeyCode::Char(c),
        };
        let key = KeyEvent::new(code, KeyModifiers::NONE);
        screen.key(&key, Moment::default())
    };
    let wishes = keys.chars().map(press);
    wishes.filter(|wish| *wish != Wish::NOTHING).collect()
}

#[test]
fn typed_symbols_are_asked_for_and_a_bad_one_keeps_the_prompt_open() {
    let mut screen = screen(&["AAPL"]);
    let wishes = press(&mut screen, "atsla q$ aapl\n");
    // What is on the list already is not asked for again; `q` was a letter.
    let expected = Wish::Changes(vec![Change::Add(symbol("TSLA"))]);
    assert_eq!(wishes, [expected]);
    let Open::Prompt(prompt) = &screen.open else {
        panic!("closed with a mistake in it");
    };
    assert!(prompt.error().is_some());
    assert_eq!(press(&mut screen, "\u{1b}"), []);
    assert!(matches!(screen.open, Open::Table));
}

#[test]
fn the_selected_symbol_is_dropped() {
    let mut screen = screen(&["A", "B", "C"]);
    let expected = Wish::Changes(vec![Change::Drop(symbol("B"))]);
    assert_eq!(press(&mut screen, "djjd"), [expected]);
}

#[test]
fn a_key_makes_room_for_the_keys_once_a_notice_was_read() {
    let mut screen = screen(&["A"]);
    let later = Moment {
        since_start: std::time::Duration::from_secs(3),
    };
    press(&mut screen, "d");
    assert!(screen.list.notice(later).is_some());
    let any = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
    screen.key(&any, later);
    assert_eq!(screen.list.notice(later), None);
    press(&mut screen, "dj");
    assert_eq!(
        screen.list.notice(Moment::default()),
        None,
        "one is selected"
    );
}

#[test]
fn what_is_pasted_is_no_command() {
    let mut screen = screen(&[]);
    screen.paste("q".to_owned());
    assert!(matches!(screen.open, Open::Table));
    press(&mut screen, "a");
    screen.paste("AAPL\nTSLA\n".to_owned());
    let expected = ["AAPL", "TSLA"].map(|text| Change::Add(symbol(text)));
    let wishes = press(&mut screen, "\n");
    assert_eq!(wishes, [Wish::Changes(expected.to_vec())]);
}

#[test]
fn the_help_scrolls_and_closes_by_its_keys_alone() {
    let mut screen = screen(&["A"]);
    for close in ["q", "?", "\u{1b}"] {
        assert_eq!(press(&mut screen, "?adswxf"), []);
        assert!(matches!(screen.open, Open::Help));
        assert_eq!(press(&mut screen, close), []);
        assert!(matches!(screen.open, Open::Table));
    }
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    press(&mut screen, "?");
    assert_eq!(screen.key(&control_c, Moment::default()), Wish::Quit);
}

fn update(screen: &mut Screen, name: &str, price: f64) {
    let update = proto::fin::StockUpdate {
        ticker_symbol: name.to_owned(),
        current_price: price,
        ..Default::default()
    };
    screen.take(FeedEvent::Update(Box::new(update)), Moment::default());
}

fn alerts(screen: &Screen) -> String {
    let alerts: Vec<_> = screen.alerts.iter().map(Alert::to_string).collect();
    alerts.join(" ")
}

fn said(screen: &Screen) -> String {
    screen.list.notice(Moment::default()).unwrap_or_default()
}

#[test]
fn alerts_of_the_selected_row_are_edited() {
    let mut screen = screen(&["AAPL", "F"]);
    update(&mut screen, "AAPL", 230.0);
    assert_eq!(press(&mut screen, "je$250 -2%\n"), []);
    assert_eq!(alerts(&screen), "AAPL>=250 AAPL%<=-2");
    // What is there stands in the line.
    press(&mut screen, "e");
    let Open::Prompt(prompt) = &screen.open else {
        panic!("no prompt");
    };
    assert_eq!(prompt.text(), "AAPL>=250 AAPL%<=-2");
    // A mistake changes nothing and stays to be mended.
    press(&mut screen, " >x\n");
    let Open::Prompt(prompt) = &screen.open else {
        panic!("closed with a mistake in it");
    };
    assert!(
        prompt
            .error()
            .is_some_and(|error| error.contains("\"x\" is no number"))
    );
    assert_eq!(alerts(&screen), "AAPL>=250 AAPL%<=-2");
    screen.open = Open::Table;
    // Those of other symbols are not touched, and an empty line is none.
    screen.alerts.replace(
        None,
        vec![
            "F>1".parse().expect("an alert"),
            "AAPL>1".parse().expect("an alert"),
        ],
    );
    press(&mut screen, "e");
    let control_u = KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL);
    screen.key(&control_u, Moment::default());
    press(&mut screen, "\n");
    assert_eq!(alerts(&screen), "F>1");
}

#[test]
fn without_a_selection_all_alerts_are_edited_and_a_new_symbol_is_added() {
    let mut screen = screen(&["AAPL"]);
    let wishes = press(&mut screen, "eAAPL>250 tsla<-2%\n");
    assert_eq!(wishes, [Wish::Changes(vec![Change::Add(symbol("TSLA"))])]);
    assert_eq!(alerts(&screen), "AAPL>250 TSLA%<-2");
    screen.list.unselect();
    let many = (0..500).map(|n| format!("S{n}>1").parse().expect("an alert"));
    screen.alerts.replace(None, many.collect());
    press(&mut screen, "e");
    assert!(matches!(screen.open, Open::Table), "they do not fit");
    assert!(said(&screen).contains("select a row first"));
}

#[test]
fn a_dropped_or_refused_symbol_says_what_becomes_of_its_alert() {
    let mut screen = screen(&["AAPL", "F"]);
    press(&mut screen, "eAAPL>250 F<1\n");
    press(&mut screen, "kd");
    assert_eq!(
        said(&screen),
        "AAPL is dropped; its alert AAPL>250 waits until it is added again"
    );
    screen.take(
        FeedEvent::Refused {
            symbol: symbol("F"),
            why: "not listed here".to_owned(),
            stays: false,
        },
        Moment::default(),
    );
    assert!(
        said(&screen).contains("its alert F<1 waits"),
        "{}",
        said(&screen)
    );
    assert_eq!(alerts(&screen), "AAPL>250 F<1");
    // Edited meanwhile, neither brings its symbol back.
    assert_eq!(
        press(&mut screen, "e F<2\n"),
        [Wish::Changes(vec![Change::Add(symbol("F"))])]
    );
    assert!(!screen.list.has(&symbol("AAPL")));
    press(&mut screen, "aAAPL\n");
    update(&mut screen, "AAPL", 251.0);
    assert!(said(&screen).contains("AAPL 251.00 is above 250"));
}

fn keep_wish(wishes: &[Wish]) -> (String, bool) {
    match wishes {
        [Wish::Keep { edits, then_quit }] => (edits.what(), *then_quit),
        wishes => panic!("{wishes:?}"),
    }
}

#[test]
fn a_changed_list_is_asked_about_before_the_end() {
    let mut screen = screen(&["AAPL", "F"]);
    assert_eq!(press(&mut screen, "q"), [Wish::Quit], "nothing has changed");
    // Selecting, freezing and adding what is there are no changes.
    assert_eq!(press(&mut screen, "jfaF\nq"), [Wish::Quit]);
    press(&mut screen, "atsla\ns");
    assert_eq!(press(&mut screen, "q"), []);
    assert!(matches!(screen.open, Open::Question(_)));
    assert_eq!(press(&mut screen, "x\u{1b}"), []);
    assert!(matches!(screen.open, Open::Table));
    let wishes = press(&mut screen, "qy");
    assert_eq!(keep_wish(&wishes), ("symbols and order".to_owned(), true));
    assert_eq!(
        screen.unkept().as_deref(),
        Some("AAPL F TSLA --sort symbol"),
        "it was not written yet"
    );
    assert_eq!(press(&mut screen, "qn"), [Wish::Quit]);
    assert_eq!(screen.unkept(), None, "it is not wanted");
}

#[test]
fn what_is_kept_is_no_change_any_more() {
    let mut screen = screen(&["AAPL", "F"]);
    assert_eq!(press(&mut screen, "w"), []);
    assert!(said(&screen).contains("nothing has changed"));
    press(&mut screen, "jd");
    assert_eq!(
        keep_wish(&press(&mut screen, "w")),
        ("symbols".to_owned(), false)
    );
    screen.has_kept();
    assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
    assert_eq!(screen.unkept(), None);
}

#[test]
fn without_a_place_for_a_file_nothing_is_asked_and_the_arguments_are_told() {
    let mut screen = screen(&["AAPL"]);
    screen.file = None;
    press(&mut screen, "aF\n");
    assert_eq!(press(&mut screen, "w"), []);
    assert!(said(&screen).contains("no place"));
    assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
    assert_eq!(screen.unkept().as_deref(), Some("AAPL F"));
}

#[test]
fn what_the_server_refuses_is_no_change_of_the_persons() {
    let mut screen = screen(&["AAPL", "APPL", "F"]);
    let refuse = |screen: &mut Screen, name: &str| {
        let event = FeedEvent::Refused {
            symbol: symbol(name),
            why: "not listed here".to_owned(),
            stays: false,
        };
        screen.take(event, Moment::default());
    };
    refuse(&mut screen, "APPL");
    press(&mut screen, "aTYPO\n");
    refuse(&mut screen, "TYPO");
    assert_eq!(press(&mut screen, "q"), [Wish::Quit]);
    press(&mut screen, "aGM\n");
    assert_eq!(screen.unkept().as_deref(), Some("AAPL APPL F GM"));
}

#[test]
fn control_c_asks_nothing() {
    let mut screen = screen(&["AAPL"]);
    press(&mut screen, "aF\n");
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(screen.key(&control_c, Moment::default()), Wish::Quit);
    assert!(screen.unkept().is_some());
}
