//! What the screen shows, without a screen: the rows and their order, the one that is selected, how
//! the connection is, and what has to be said.
//!
//! Pure: events and wishes go in, with the time; what has to be asked of the server comes out.

mod notices;
mod row;
mod rows;
mod sort;

use std::{collections::HashMap, iter, ops::Range, time::Duration};

use proto::{Symbol, fin::StockUpdate, text::words};

pub use row::{Age, HISTORY_POINTS, Moment, Quote, Row};
pub use sort::{BadSort, Sort, SortBy};

use crate::{change::Change, feed_event::FeedEvent};
use notices::{Notice, Notices};
use rows::Rows;

/// How long a row stays highlighted after its alert.
const HIGHLIGHT: Duration = Duration::from_secs(10);

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// There has been none yet.
    Connecting,
    /// It is there.
    Connected,
    /// It is gone, and is tried again.
    Lost {
        /// Since when it has been gone.
        since: Duration,
        /// What happened last: a line, and nothing in it that a terminal obeys.
        why: String,
        /// When it is tried again.
        retry_at: Duration,
    },
}

/// Where to move the selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// So many rows up.
    Up(usize),
    /// So many rows down.
    Down(usize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

/// The picture that stands still while the quotes go on.
#[derive(Debug)]
struct Frozen {
    rows: Rows,
    since: Duration,
    updates: u64,
}

/// All that the screen shows. See the module.
#[derive(Debug)]
pub struct Watchlist {
    live: Rows,
    frozen: Option<Frozen>,
    sort: Sort,
    /// Places in the shown rows, in the order of the screen; sorted anew only when it is looked at.
    order: Vec<usize>,
    order_is_old: bool,
    /// `None`: the screen stays at its top, whatever comes there.
    selected: Option<Symbol>,
    /// The first visible row's place in the order.
    top: usize,
    link: Link,
    updates: u64,
    /// Until when a symbol is highlighted.
    alarms: HashMap<Symbol, Duration>,
    bell: bool,
    notices: Notices,
}

impl Watchlist {
    /// A list of symbols that nothing is known of yet, each once.
    pub fn new(symbols: impl IntoIterator<Item = Symbol>, sort: Sort) -> Self {
        let mut live = Rows::default();
        for symbol in symbols {
            live.add(symbol);
        }
        Self {
            live,
            frozen: None,
            sort,
            order: Vec::new(),
            order_is_old: true,
            selected: None,
            top: 0,
            link: Link::Connecting,
            updates: 0,
            alarms: HashMap::new(),
            bell: false,
            notices: Notices::default(),
        }
    }

    /// Takes in what happened on the way to the server.
    pub fn take(&mut self, event: FeedEvent, now: Moment) {
        match event {
            FeedEvent::Connected => {
                if let Link::Lost { .. } = self.link {
                    self.news("connected again".to_owned(), now);
                }
                self.link = Link::Connected;
            }
            FeedEvent::Update(update) => self.update(*update, now),
            FeedEvent::Notice(text) => self.news(words(&text), now),
            FeedEvent::Refused { symbol, why, stays } => {
                match stays {
                    true => self.out_of_date(|rows| rows.row_mut(symbol.as_str())),
                    false => self.remove(&symbol),
                }
                let why = words(&why);
                self.say(Notice::Refused { symbol, why }, now);
            }
            FeedEvent::Lost { why, retry_in } => {
                let why = words(&why);
                let since = match self.link {
                    Link::Lost { since, .. } => since,
                    Link::Connecting | Link::Connected => {
                        self.news(format!("connection lost: {why}"), now);
                        now.since_start
                    }
                };
                self.link = Link::Lost {
                    since,
                    why,
                    retry_at: now.since_start.saturating_add(retry_in),
                };
                self.out_of_date(Rows::all_mut);
            }
        }
    }

    /// Marks rows as old, in the picture that stands still too.
    fn out_of_date<'a, I>(&'a mut self, which: impl Fn(&'a mut Rows) -> I)
    where
        I: IntoIterator<Item = &'a mut Row>,
    {
        let frozen = self.frozen.as_mut().map(|frozen| &mut frozen.rows);
        for rows in iter::once(&mut self.live).chain(frozen) {
            which(rows).into_iter().for_each(Row::out_of_date);
        }
    }

    fn update(&mut self, update: StockUpdate, now: Moment) {
        // What was dropped may still be on its way.
        let Some(row) = self.live.row_mut(&update.ticker_symbol) else {
            return;
        };
        row.take(update, now);
        self.updates += 1;
        match &mut self.frozen {
            Some(frozen) => frozen.updates += 1,
            None => self.order_is_old = true,
        }
    }

    /// Puts a symbol on the list and selects it. One that is there already is only selected.
    pub fn add(&mut self, symbol: Symbol, now: Moment) -> Option<Change> {
        let is_new = self.live.add(symbol.clone());
        if let Some(frozen) = &mut self.frozen {
            frozen.rows.add(symbol.clone());
        }
        self.order_is_old = true;
        self.selected = Some(symbol.clone());
        self.notices.selected();
        if is_new {
            return Some(Change::Add(symbol));
        }
        self.news(format!("{symbol} is on the list already"), now);
        None
    }

    /// Takes the selected symbol off the list; the next one is then selected.
    pub fn drop_selected(&mut self, now: Moment) -> Option<Change> {
        let Some(symbol) = self.selected.clone() else {
            self.say(Notice::SelectFirst, now);
            return None;
        };
        self.remove(&symbol);
        Some(Change::Drop(symbol))
    }

    fn remove(&mut self, symbol: &Symbol) {
        let place = self.place(symbol);
        self.live.remove(symbol);
        if let Some(frozen) = &mut self.frozen {
            frozen.rows.remove(symbol);
        }
        self.alarms.remove(symbol);
        self.order_is_old = true;
        if self.selected.as_ref() == Some(symbol) {
            self.arrange();
            let last = self.order.len().saturating_sub(1);
            let next = place.map(|place| place.min(last));
            self.selected = next.and_then(|place| self.symbol_at(place));
        }
    }

    /// Moves the selection; the first move selects the first row, or the last.
    pub fn select(&mut self, to: Move) {
        let selected = self.selected.clone();
        let at = selected.and_then(|symbol| self.place(&symbol));
        self.arrange();
        let last = self.order.len().saturating_sub(1);
        let place = match (to, at) {
            (Move::First, _) => 0,
            (Move::Last, _) => last,
            (Move::Up(_) | Move::Down(_), None) => self.top.min(last),
            (Move::Up(rows), Some(at)) => at.saturating_sub(rows),
            (Move::Down(rows), Some(at)) => at.saturating_add(rows).min(last),
        };
        self.selected = self.symbol_at(place);
        self.notices.selected();
    }

    /// Selects nothing, and goes back to the top.
    pub fn unselect(&mut self) {
        self.selected = None;
        self.top = 0;
    }

    /// Another order, said by the mark over its column.
    pub fn sort_by(&mut self, sort: Sort) {
        self.sort = sort;
        self.order_is_old = true;
    }

    /// The picture stands still from now on, or goes on.
    pub fn toggle_freeze(&mut self, now: Moment) {
        self.order_is_old = true;
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some(Frozen {
                rows: self.live.clone(),
                since: now.since_start,
                updates: 0,
            }),
        };
    }

    /// An alert has fired: its row is highlighted for a while, its words are shown, and the bell is
    /// due.
    pub fn raise_alarm(&mut self, symbol: &Symbol, text: &str, now: Moment) {
        let until = now.since_start + HIGHLIGHT;
        self.alarms.insert(symbol.clone(), until);
        self.bell = true;
        self.say(Notice::Alert(words(text)), now);
    }

    /// Whether the bell is due; it is rung once.
    pub fn take_bell(&mut self) -> bool {
        std::mem::take(&mut self.bell)
    }

    /// Something to be read, in our own words.
    pub fn tell(&mut self, text: String, now: Moment) {
        self.news(text, now);
    }

    fn say(&mut self, notice: Notice, now: Moment) {
        self.notices.say(notice, now.since_start);
    }

    fn news(&mut self, text: String, now: Moment) {
        self.say(Notice::News(text), now);
    }

    /// A key was pressed, whatever it does.
    pub fn key_pressed(&mut self, now: Moment) {
        self.notices.key_pressed(now.since_start);
    }

    /// What has to be said now: a line, and nothing in it that a terminal obeys.
    pub fn notice(&self, now: Moment) -> Option<String> {
        self.notices.text(now.since_start)
    }

    /// Whether the symbol's alert has just fired.
    pub fn is_alarmed(&self, symbol: &Symbol, now: Moment) -> bool {
        let until = self.alarms.get(symbol);
        until.is_some_and(|&until| now.since_start < until)
    }

    /// Whether this row is the selected one.
    pub fn is_selected(&self, row: &Row) -> bool {
        self.selected.as_ref() == Some(row.symbol())
    }

    /// How the connection is.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The order of the rows.
    pub fn sort(&self) -> Sort {
        self.sort
    }

    /// How many updates came until now.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Since when the picture has stood still, and how many updates came since.
    pub fn frozen(&self) -> Option<(Duration, u64)> {
        let frozen = self.frozen.as_ref()?;
        Some((frozen.since, frozen.updates))
    }

    /// How many symbols are on the list.
    pub fn len(&self) -> usize {
        self.live.as_slice().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.as_slice().is_empty()
    }

    /// The symbols in the order in which they were given.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.live.as_slice().iter().map(Row::symbol)
    }

    /// The selected symbol.
    pub fn selected(&self) -> Option<&Symbol> {
        self.selected.as_ref()
    }

    /// Whether the symbol is on the list.
    pub fn has(&self, symbol: &Symbol) -> bool {
        self.live.place(symbol).is_some()
    }

    /// A symbol's newest price.
    pub fn price_of(&self, symbol: &Symbol) -> Option<f64> {
        let row = self.live.as_slice().get(self.live.place(symbol)?)?;
        let price = row.quote()?.update().current_price;
        price.is_finite().then_some(price)
    }

    /// The longest name's length, in characters.
    pub fn longest_name(&self) -> usize {
        let names = self.live.as_slice().iter().map(Row::name);
        names.map(|name| name.chars().count()).max().unwrap_or(0)
    }

    /// The longest symbol's length, in characters.
    pub fn longest_symbol(&self) -> usize {
        let lengths = self
            .live
            .as_slice()
            .iter()
            .map(|row| row.symbol().as_str().len());
        lengths.max().unwrap_or(0)
    }

    /// The places of the rows that a screen of `lines` lines shows, scrolled so that the selected
    /// one is among them.
    pub fn scroll(&mut self, lines: usize) -> Range<usize> {
        let selected = self.selected.clone();
        let at = selected.and_then(|symbol| self.place(&symbol));
        self.arrange();
        let rows = self.order.len();
        if let Some(at) = at {
            let lowest_top = (at + 1).saturating_sub(lines).min(at);
            self.top = self.top.clamp(lowest_top, at);
        }
        self.top = self.top.min(rows.saturating_sub(lines));
        self.top..rows.min(self.top.saturating_add(lines))
    }

    /// The rows at places that [`scroll`](Self::scroll) gave.
    pub fn rows(&self, places: Range<usize>) -> impl Iterator<Item = &Row> {
        let rows = self.shown().as_slice();
        let order = self.order.get(places).unwrap_or_default();
        order.iter().filter_map(|&place| rows.get(place))
    }

    fn shown(&self) -> &Rows {
        self.frozen
            .as_ref()
            .map_or(&self.live, |frozen| &frozen.rows)
    }

    /// Sorts, when something has changed since the last time.
    fn arrange(&mut self) {
        if !std::mem::take(&mut self.order_is_old) {
            return;
        }
        let mut order = std::mem::take(&mut self.order);
        let rows = self.shown().as_slice();
        order.clear();
        order.extend(0..rows.len());
        order.sort_by(|&a, &b| self.sort.compare(&rows[a], &rows[b]));
        if self.sort.by == SortBy::Given && self.sort.descending {
            order.reverse();
        }
        self.order = order;
    }

    /// The symbol's place on the screen.
    fn place(&mut self, symbol: &Symbol) -> Option<usize> {
        self.arrange();
        let row = self.shown().place(symbol)?;
        self.order.iter().position(|&at| at == row)
    }

    fn symbol_at(&self, place: usize) -> Option<Symbol> {
        let row = self.order.get(place)?;
        Some(self.shown().as_slice().get(*row)?.symbol().clone())
    }
}

#[cfg(test)]
mod tests;
