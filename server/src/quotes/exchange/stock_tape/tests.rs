use super::*;

const TAPE: &str = "\
timestamp,ticker_symbol,current_price,volume,price_change,bid_price,ask_price,note
# half a minute of an afternoon
1700000010.5,aapl,225.50,100,2.5,225.49,225.50,first
1700000012,GOOGL,190,50,,,,
1700000011,AAPL,225.75,200,,0,225.8,\"late, but in its place\"
1700000020,AAPL,225.25,10,,,,
";

fn read(text: &str) -> StockTape {
    match StockTape::read(text.as_bytes(), 1.0) {
        Ok(tape) => tape,
        Err(LineError::Line(line, what)) => panic!("line {line}: {what}"),
        Err(LineError::Unreadable(why)) => panic!("{why}"),
    }
}

fn error(text: &[u8]) -> (u64, String) {
    match StockTape::read(text, 1.0) {
        Err(LineError::Line(line, what)) => (line, what),
        Err(LineError::Unreadable(why)) => panic!("{why}"),
        Ok(tape) => panic!("{tape:?}"),
    }
}

fn symbol(text: &str) -> Symbol {
    text.parse().expect("a symbol")
}

fn cents(dollars: f64) -> Price {
    Price::nearest(dollars, Grid::Share)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn a_tape_is_played_in_the_order_of_its_times() {
    let tape = read(TAPE);
    assert_eq!(tape.symbols(), [&symbol("AAPL"), &symbol("GOOGL")]);
    assert_eq!((tape.trades(), tape.length()), (4, millis(9_500)));
    let apple = tape.track(&symbol("AAPL")).expect("it is on the tape");
    let at = |at: u64| apple.sequence_at(millis(at));
    assert_eq!(
        [at(0), at(499), at(500), at(9_499), at(9_500), at(99_999)],
        [1, 1, 2, 2, 3, 3]
    );
    let trades: Vec<_> = (1..=3).filter_map(|n| apple.trade(n)).collect();
    assert_eq!(
        trades.iter().map(|t| t.price.dollars()).collect::<Vec<_>>(),
        [225.5, 225.75, 225.25]
    );
    assert!(
        trades
            .iter()
            .all(|trade| trade.previous_close == cents(223.0))
    );
    let last = trades[2].day;
    assert_eq!(
        [last.open, last.high, last.low].map(Price::dollars),
        [225.5, 225.75, 225.25]
    );
    assert_eq!(last.volume, 310);
    assert_eq!(trades[0].bid, Some(cents(225.49)));
    assert_eq!((trades[1].bid, trades[1].ask), (None, Some(cents(225.8))));
    assert_eq!(apple.trade(0), None);
    assert_eq!(apple.trade(4), None);
    let google = tape
        .track(&symbol("GOOGL"))
        .and_then(|track| track.trade(1))
        .expect("a trade");
    assert_eq!(
        google.previous_close, google.price,
        "no change is told, so none is known"
    );
    assert_eq!(google.at, millis(1_500));
    assert!(tape.track(&symbol("MSFT")).is_none());
}

#[test]
fn the_next_trade_is_known_until_the_tape_is_over() {
    let tape = read(TAPE);
    let next = |at: u64| tape.next_trade_after(millis(at)).map(|at| at.as_millis());
    assert_eq!(
        [next(0), next(499), next(500), next(1_500)],
        [Some(500), Some(500), Some(1_500), Some(9_500)]
    );
    assert_eq!(next(9_500), None);
}

#[test]
fn speed_shortens_the_times() {
    let Ok(tape) = StockTape::read(TAPE.as_bytes(), 10.0) else {
        panic!("a tape")
    };
    assert_eq!(tape.length(), millis(950));
    let Ok(slow) = StockTape::read(TAPE.as_bytes(), 0.5) else {
        panic!("a tape")
    };
    assert_eq!(slow.length(), millis(19_000));
}

#[test]
fn microseconds_go_before_seconds() {
    let tape = read(
        "ticker_symbol,current_price,volume,timestamp,trade_time_us\n\
         A,1,1,1700000000,1700000000250000\n\
         A,2,1,1700000000,1700000000750000\n",
    );
    assert_eq!(tape.length(), millis(500));
}

#[test]
fn a_bad_line_is_named_by_its_number() {
    let head = "timestamp,ticker_symbol,current_price,volume,bid_price\n1,AAPL,1,1,1\n\n";
    for (line, expected) in [
        ("2,AAPL,abc,1,", "current_price \"abc\""),
        ("2,AAPL,-1,1,", "current_price \"-1\""),
        ("2,AAPL,NaN,1,", "current_price \"NaN\""),
        ("2,AAPL,1,0,", "volume \"0\""),
        ("2,AAPL,1,1.5,", "volume \"1.5\""),
        ("2,AAPL,1,99999999999,", "volume \"99999999999\""),
        ("2,A B,1,1,", "'A B'"),
        ("2,,1,1,", "the symbol is empty"),
        ("2,AAPL,1e300,1,", "from 0.0001 to 10000000"),
        ("2,AAPL,0.00001,1,", "from 0.0001 to 10000000"),
        ("soon,AAPL,1,1,", "the timestamp 'soon' is not a time"),
        ("9223372036854775807,AAPL,1,1,", "is not a time"),
        ("2,AAPL,1,1,x", "bid_price \"x\""),
        (
            "2,AAPL",
            "it has 2 values, and the line of the columns names 5",
        ),
        ("2,AAPL,1,1,1,1", "it has 6 values"),
        ("2,AAPL,1,1,'1", "a quoted value does not end"),
        (
            "2;AAPL;1;1;1",
            "there are semicolons between its values, and commas",
        ),
        ("2;AAPL;225,50;1;1", "there are semicolons"),
        ("2\tAAPL\t1\t1\t1", "there are tabs between its values"),
        ("2|AAPL|1|1|1", "there are bars"),
        (
            "timestamp,ticker_symbol,current_price,volume,bid_price",
            "it names the columns again, as where one tape was added to another; take it out",
        ),
        ("Ticker_Symbol,current_price", "it names the columns again"),
    ] {
        let line = line.replace('\'', "\"");
        let (number, what) = error(format!("{head}{line}\n").as_bytes());
        assert_eq!(number, 4, "{line}: {what}");
        let expected = expected.replace('\'', "\"");
        assert!(what.contains(&expected), "{line}: {what}");
    }
    let long = format!("{head}2,AAPL,{},1,\n", "9x".repeat(5_000));
    assert!(error(long.as_bytes()).1.len() < 200);
    let (number, _) = error(
        head.replace('\n', "\r\n")
            .replace("AAPL,1,1,1", "AAPL,1,x,1")
            .as_bytes(),
    );
    assert_eq!(number, 2, "lines of another system count the same");
    let (number, what) = error(&[head.as_bytes(), b"2,AA\xffPL,1,1,\n"].concat());
    assert_eq!((number, what.as_str()), (4, "it is not UTF-8 text"));
}

#[test]
fn a_file_without_the_columns_or_without_trades_says_so() {
    let (line, what) = error(b"symbol,price\nAAPL,1\n");
    assert_eq!(line, 1);
    assert!(
        what.contains("no column ticker_symbol") && what.contains("current_price"),
        "{what}"
    );
    let (_, what) = error(b"ticker_symbol,current_price,volume\nAAPL,1,1\n");
    assert!(what.contains("trade_time_us or timestamp"), "{what}");
    for separator in [";", "\t"] {
        let text = TAPE.replace(',', separator);
        let (line, what) = error(text.as_bytes());
        assert_eq!(line, 1);
        assert!(what.contains("between its values; write commas"), "{what}");
    }
    assert_eq!(error(b"").0, 1);
    let (line, what) = error(b"ticker_symbol,current_price,volume,timestamp,volume\n");
    assert_eq!(
        (line, what.as_str()),
        (1, "there are two columns volume; leave one")
    );
    let head = "ticker_symbol,current_price,volume,timestamp,price_change,bid_price,ask_price";
    for (row, expected) in [
        ("A,1,1,1,x,1,1", "price_change \"x\""),
        ("A,1,1,1,0,1.2,1.1", "bid_price is above the ask_price"),
    ] {
        let (line, what) = error(format!("{head}\n{row}\n").as_bytes());
        assert_eq!(line, 2);
        assert!(what.contains(expected), "{what}");
    }
    let (line, what) = error(b"ticker_symbol,current_price,volume,timestamp\n");
    assert_eq!((line, what.as_str()), (2, "there are no trades"));
    let missing = StockTape::open(Path::new("/nowhere/tape.csv"), 1.0).expect_err("no file");
    assert!(
        missing
            .to_string()
            .starts_with("cannot read /nowhere/tape.csv"),
        "{missing}"
    );
}

#[test]
fn a_row_counts_when_its_line_is_ended() {
    let head = "ticker_symbol,current_price,volume,timestamp\n";
    let whole = format!("{head}AAPL,225.5,100,1700000000\nAAPL,226,100,1700000010\n");
    assert_eq!((read(&whole).trades(), read(&whole).omission()), (2, None));
    let second = whole.len() - "AAPL,226,100,1700000010\n".len();
    // Wherever it was cut: no half of a time or a price is taken for the whole.
    for length in second + 1..whole.len() {
        let tape = read(&whole[..length]);
        assert_eq!(
            (tape.trades(), tape.length()),
            (1, millis(0)),
            "{length} bytes"
        );
        let said = tape.omission().expect("it is said");
        assert!(
            said.starts_with("line 3 is left out: its line does not end"),
            "{said}"
        );
    }
    // In the middle of a character, too.
    let Ok(tape) = StockTape::read(&[whole.as_bytes(), b"S\xC3"].concat()[..], 1.0) else {
        panic!("a tape")
    };
    assert_eq!((tape.trades(), tape.omission().is_some()), (2, true));
    for nothing in ["   ", "# the end", "\r"] {
        let tape = read(&format!("{whole}{nothing}"));
        assert_eq!((tape.trades(), tape.omission()), (2, None), "{nothing:?}");
    }
    let (line, what) = error(&whole.as_bytes()[..second - 1]);
    assert_eq!(line, 2);
    assert!(what.contains("its line does not end"), "{what}");
}

#[test]
fn a_mark_of_the_byte_order_is_no_part_of_a_name() {
    assert_eq!(read(&format!("\u{FEFF}{TAPE}")).trades(), 4);
}
