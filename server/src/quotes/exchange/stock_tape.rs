//! A recorded tape: trades read from a CSV file, to be played instead of the simulation.
//!
//! The columns are those that `ticker-client --mode csv` writes, in any order, found by their names in
//! the first line; more may be there. Pure but for opening the file.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use csv::{ReaderBuilder, StringRecord, Trim};
use proto::{
    Symbol,
    text::{one_line, quoted},
    text_file::{self, TextError},
};

use crate::quotes::market::{Day, Grid, Price, Trade};

/// All trades of a tape, in memory: some 150 bytes each.
#[derive(Debug)]
pub struct StockTape {
    tracks: HashMap<Symbol, Arc<Track>>,
    /// When anything is traded, each moment once, in order.
    moments: Vec<Duration>,
    /// The last line, where it does not end: what wrote it may have been stopped within a value.
    unended_line: Option<u64>,
}

/// One symbol's trades, in order.
#[derive(Debug)]
pub struct Track {
    trades: Vec<Trade>,
}

/// The file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum StockTapeError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {why}", shown(file))]
    Unreadable {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Something in it is wrong. Mend the line, or take it out.
    #[error("{}, line {line}: {what}", shown(file))]
    Line {
        /// Which file.
        file: PathBuf,
        /// Lines count from 1.
        line: u64,
        /// What is wrong, and what should be there.
        what: String,
    },
}

impl StockTape {
    /// Reads a tape to be played at so many times its own speed.
    ///
    /// # Errors
    ///
    /// [`StockTapeError`], naming the first bad line.
    pub fn open(file: &Path, speed: f64) -> Result<Self, StockTapeError> {
        let unreadable = |why| StockTapeError::Unreadable {
            file: file.to_owned(),
            why,
        };
        let reader = BufReader::new(File::open(file).map_err(unreadable)?);
        Self::read(reader, speed).map_err(|error| match error {
            LineError::Unreadable(why) => unreadable(why),
            LineError::Line(line, what) => StockTapeError::Line {
                file: file.to_owned(),
                line,
                what,
            },
        })
    }

    /// A tape from a text, for tests of what plays it.
    #[cfg(test)]
    pub(crate) fn from_text(text: &str) -> Self {
        match Self::read(text.as_bytes(), 1.0) {
            Ok(tape) => tape,
            Err(_) => panic!("not a tape: {text}"),
        }
    }

    fn read(mut reader: impl BufRead, speed: f64) -> Result<Self, LineError> {
        let mut rows = Vec::new();
        let mut columns = None;
        let mut unended_line = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let length = reader.read_until(b'\n', &mut line);
            if length.map_err(LineError::Unreadable)? == 0 {
                break;
            }
            let bad = |what| LineError::Line(number, what);
            // Half a time is a time, and half a price a price.
            if columns.is_some() && line.last() != Some(&b'\n') {
                unended_line = Some(number).filter(|_| !is_blank(&line));
                break;
            }
            let Some(record) = fields(&line).map_err(bad)? else {
                continue;
            };
            match &columns {
                None => columns = Some(Columns::find(&record).map_err(bad)?),
                Some(columns) => rows.push(columns.row(&record).map_err(bad)?),
            }
        }
        if columns.is_none() {
            return Err(LineError::Line(1, format!("it is empty; {COLUMNS}")));
        }
        // A recorder writes what comes when it comes; the trades were in the order of their times.
        rows.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Some(first) = rows.first() else {
            return Err(match unended_line {
                Some(number) => LineError::Line(number, UNENDED.to_owned()),
                None => LineError::Line(2, "there are no trades".to_owned()),
            });
        };
        let start = first.seconds;
        let mut trades: HashMap<Symbol, Vec<Trade>> = HashMap::new();
        let mut moments = Vec::new();
        for row in rows {
            let seconds = (row.seconds - start) / speed;
            let at = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            let trades = trades.entry(row.symbol.clone()).or_default();
            trades.push(row.after(trades.last(), at));
            moments.push(at);
        }
        moments.dedup();
        let tracks = trades
            .into_iter()
            .map(|(symbol, trades)| (symbol, Arc::new(Track { trades })))
            .collect();
        Ok(Self {
            tracks,
            moments,
            unended_line,
        })
    }

    /// What is left out, in words, if anything is.
    pub fn omission(&self) -> Option<String> {
        let number = self.unended_line?;
        Some(format!("line {number} is left out: {UNENDED}"))
    }

    /// The symbol's trades, if there are any.
    pub fn track(&self, symbol: &Symbol) -> Option<&Arc<Track>> {
        self.tracks.get(symbol)
    }

    /// All symbols, in the order of the alphabet.
    pub fn symbols(&self) -> Vec<&Symbol> {
        let mut symbols: Vec<_> = self.tracks.keys().collect();
        symbols.sort();
        symbols
    }

    /// How many trades there are, of all symbols.
    pub fn trades(&self) -> usize {
        self.tracks.values().map(|track| track.trades.len()).sum()
    }

    /// How many moments there are at which something is traded.
    pub fn moments(&self) -> usize {
        self.moments.len()
    }

    /// How long it plays.
    pub fn length(&self) -> Duration {
        self.moments.last().copied().unwrap_or_default()
    }

    /// When something is traded next, after a moment; `None` when the tape is over.
    pub fn next_trade_after(&self, now: Duration) -> Option<Duration> {
        let next = self.moments.partition_point(|moment| *moment <= now);
        self.moments.get(next).copied()
    }
}

impl Track {
    /// How many trades there have been until a moment, one at it included.
    pub fn sequence_at(&self, now: Duration) -> u64 {
        self.trades.partition_point(|trade| trade.at <= now) as u64
    }

    /// How many trades there are, at least one.
    pub fn trades(&self) -> u64 {
        self.trades.len() as u64
    }

    /// A trade by its number, which counts from 1.
    pub fn trade(&self, sequence: u64) -> Option<&Trade> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.trades.get(index)
    }
}

/// A file's name as part of a line.
fn shown(file: &Path) -> String {
    one_line(&file.display().to_string())
}

enum LineError {
    Unreadable(io::Error),
    Line(u64, String),
}

/// Whether a line says nothing, or to people only.
fn is_blank(line: &[u8]) -> bool {
    let text = line.trim_ascii();
    text.is_empty() || text.starts_with(b"#")
}

/// What one line holds; nothing if it is blank or begins with `#`.
fn fields(line: &[u8]) -> Result<Option<StringRecord>, String> {
    let text = text_file::decode(line).map_err(|error| match error {
        TextError::Utf16 => error.to_string(),
        TextError::NotUtf8 { .. } => "it is not UTF-8 text".to_owned(),
    })?;
    if is_blank(text.as_bytes()) {
        return Ok(None);
    }
    let text = text.trim();
    if text.contains('\r') {
        return Err(
            "lines end with CR alone, as old Macintoshes wrote them; save the file with line feeds"
                .to_owned(),
        );
    }
    let mut csv = ReaderBuilder::new()
        .has_headers(false)
        .trim(Trim::All)
        .buffer_capacity(text.len())
        .from_reader(text.as_bytes());
    // A quote within a value is doubled, so that a line that holds its values holds an even number.
    if text.matches('"').count() % 2 == 1 {
        return Err("a quoted value does not end; a trade is one line".to_owned());
    }
    let mut record = StringRecord::new();
    csv.read_record(&mut record)
        .map_err(|error| error.to_string())?;
    Ok(Some(record))
}

/// Some three thousand years from 1970, either way.
const MAX_SECONDS: f64 = 1e11;

const UNENDED: &str = "its line does not end, so it may be cut short; end it where it is whole";

/// What others put between values.
const OTHER_SEPARATORS: [(char, &str); 3] = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];

const COLUMNS: &str = "the first line names the columns, and ticker_symbol, current_price, volume and \
                       one of trade_time_us or timestamp must be among them";

/// In which places of a line the values stand.
struct Columns {
    symbol: usize,
    price: usize,
    volume: usize,
    time: Time,
    change: Option<usize>,
    bid: Option<usize>,
    ask: Option<usize>,
    /// All columns, also those that mean nothing to us.
    count: usize,
}

#[derive(Clone, Copy)]
enum Time {
    Seconds(usize),
    Micros(usize),
}

struct Row {
    seconds: f64,
    symbol: Symbol,
    price: Price,
    volume: i32,
    change: Option<f64>,
    bid: Option<Price>,
    ask: Option<Price>,
}

impl Columns {
    fn find(names: &StringRecord) -> Result<Self, String> {
        let find = |wanted: &str| {
            let named = |name: &str| name.eq_ignore_ascii_case(wanted);
            let mut places = names.iter().enumerate().filter(|(_, name)| named(name));
            match (places.next(), places.next()) {
                (_, Some(_)) => Err(format!("there are two columns {wanted}; leave one")),
                (first, None) => Ok(first.map(|(place, _)| place)),
            }
        };
        let need = |wanted: &str| {
            find(wanted)?.ok_or_else(|| match other_separators(names) {
                Some(found) => format!("there are {found} between its values; write commas"),
                None => format!("there is no column {wanted}; {COLUMNS}"),
            })
        };
        Ok(Self {
            symbol: need("ticker_symbol")?,
            price: need("current_price")?,
            volume: need("volume")?,
            time: match find("trade_time_us")? {
                Some(place) => Time::Micros(place),
                None => Time::Seconds(need("timestamp")?),
            },
            change: find("price_change")?,
            bid: find("bid_price")?,
            ask: find("ask_price")?,
            count: names.len(),
        })
    }

    /// Whether a line is not a trade, but one like the first.
    fn are_named_by(&self, record: &StringRecord) -> bool {
        let has = |name: &str| record.iter().any(|value| value.eq_ignore_ascii_case(name));
        has("ticker_symbol") && has("current_price")
    }

    fn row(&self, record: &StringRecord) -> Result<Row, String> {
        if self.are_named_by(record) {
            return Err(
                "it names the columns again, as where one tape was added to another; take it out"
                    .to_owned(),
            );
        }
        if record.len() != self.count {
            if let Some(found) = other_separators(record) {
                return Err(format!(
                    "there are {found} between its values, and commas in the first line; write \
                     commas"
                ));
            }
            return Err(format!(
                "it has {} values, and the line of the columns names {}",
                record.len(),
                self.count
            ));
        }
        let field = |place: usize| record.get(place).unwrap_or_default();
        let symbol = field(self.symbol)
            .parse()
            .map_err(|error: proto::SymbolError| error.to_string())?;
        let price = price(field(self.price), "current_price")?;
        let volume = field(self.volume);
        let volume = volume.parse().ok().filter(|shares| *shares > 0);
        let volume = volume.ok_or_else(|| {
            format!(
                "the volume {} is not a number of shares: write a whole number from 1 to {}",
                quoted(field(self.volume)),
                i32::MAX
            )
        })?;
        let (time, name, unit) = match self.time {
            Time::Seconds(place) => (field(place), "timestamp", 1.0),
            Time::Micros(place) => (field(place), "trade_time_us", 1e6),
        };
        let seconds = number(time).map(|time| time / unit);
        let seconds = seconds.filter(|seconds| seconds.abs() <= MAX_SECONDS);
        let seconds = seconds.ok_or_else(|| {
            format!(
                "the {name} {} is not a time: write seconds in timestamp, or microseconds in \
                 trade_time_us, such as 1700000000.25",
                quoted(time)
            )
        })?;
        // An original server's line has no book: 0 or nothing there.
        let offer = |place: Option<usize>, name: &str| match place.map(field) {
            None | Some("" | "0" | "0.0") => Ok(None),
            Some(text) => self::price(text, name).map(Some),
        };
        let change = match self.change.map(field) {
            None | Some("") => None,
            Some(text) => Some(number(text).ok_or_else(|| {
                format!(
                    "the price_change {} is not a number of dollars",
                    quoted(text)
                )
            })?),
        };
        let (bid, ask) = (offer(self.bid, "bid_price")?, offer(self.ask, "ask_price")?);
        if bid.zip(ask).is_some_and(|(bid, ask)| bid > ask) {
            return Err("the bid_price is above the ask_price".to_owned());
        }
        Ok(Row {
            seconds,
            symbol,
            price,
            volume,
            change,
            bid,
            ask,
        })
    }
}

impl Row {
    fn after(&self, before: Option<&Trade>, at: Duration) -> Trade {
        let previous_close = match (before, self.change) {
            (Some(before), _) => before.previous_close,
            (None, Some(change)) => {
                Price::nearest(self.price.dollars() - change, Grid::of(&self.symbol))
            }
            (None, None) => self.price,
        };
        Trade {
            sequence: before.map_or(1, |before| before.sequence + 1),
            at,
            price: self.price,
            volume: self.volume,
            bid: self.bid,
            ask: self.ask,
            previous_close,
            day: match before {
                Some(before) => before.day.and(self.price, self.volume),
                None => Day::new(self.price, self.volume),
            },
        }
    }
}

/// What stands between the values of a line, if not commas alone: what is left of it with them has these
/// within.
fn other_separators(record: &StringRecord) -> Option<&'static str> {
    let stands = |separator: char| record.iter().any(|value| value.contains(separator));
    let mut others = OTHER_SEPARATORS.iter();
    let (_, name) = others.find(|(separator, _)| stands(*separator))?;
    Some(name)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn price(text: &str, name: &str) -> Result<Price, String> {
    number(text).and_then(Price::recorded).ok_or_else(|| {
        format!(
            "the {name} {} is not a price: write dollars from 0.0001 to 10000000, such as 225.54",
            quoted(text)
        )
    })
}

#[cfg(test)]
mod tests;
