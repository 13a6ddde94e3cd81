//! Quotes as lines: plain, JSON or CSV, on any output; words about the connection and alerts beside
//! them, on the standard error.
//!
//! Runs in the caller's task, with a reader task beside it for what is typed.

use std::{future::pending, io, pin::pin, time::Duration};

use indexmap::IndexSet;
use output::charset;
use proto::{ServerAddress, Symbol};
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    alert::Alerts,
    change::Change,
    failure::Failure,
    feed::Feed,
    feed_event::FeedEvent,
    kept_list::KeptList,
    say::{say, say_unkept},
    settings::SettingsError,
    show::Style,
    typed,
    watchlist::Sort,
};

/// Events that are shown with one write.
const EVENTS_AT_ONCE: usize = 64;

/// How long a reader may stand still when the time is up.
const READER_TIMEOUT: Duration = Duration::from_secs(1);

/// When enough was shown, but for a server that has no more or a reader who has seen enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Updates, of all symbols together.
    pub count: Option<u64>,
    /// Time, from the start.
    pub duration: Option<Duration>,
}

/// All that is needed to show quotes as lines.
#[derive(Debug)]
pub struct Lines {
    /// Where quotes come from.
    pub feed: Feed,
    /// What the feed was started with.
    pub symbols: Vec<Symbol>,
    /// The feed's server, to be named.
    pub server: ServerAddress,
    /// Whether a person types the input, who has to be told at once what the server says, and at the end
    /// how to have again what was typed.
    pub input_is_terminal: bool,
    /// What each update is made into.
    pub style: Style,
    /// What to say when it happens.
    pub alerts: Alerts,
    /// The order that a table would have: part of what is said of a changed list.
    pub sort: Sort,
    /// Whether an alert rings the bell of the terminal that the standard error is.
    pub bell: bool,
    /// When to stop.
    pub limit: Limit,
}

impl Lines {
    /// Shows quotes on `output` until there is a reason to stop, `interrupted` for one, and follows what is
    /// read from `input` meanwhile.
    ///
    /// # Errors
    ///
    /// [`Failure`], also when every symbol was refused, or when there is none and `input` has ended; and
    /// when the time is up and nobody reads what is being written.
    pub async fn run<I, O>(
        self,
        input: I,
        output: O,
        interrupted: impl Future<Output = ()>,
    ) -> Result<(), Failure>
    where
        I: AsyncBufRead + Send + Unpin + 'static,
        O: AsyncWrite + Unpin,
    {
        let (typed_tx, typed_rx) = mpsc::channel(1);
        let reader = tokio::spawn(typed::read_changes(input, typed_tx));
        let duration = self.limit.duration;
        let ends = duration.and_then(|after| Instant::now().checked_add(after));
        let mut view = View {
            server: self.server,
            kept: KeptList::new(self.symbols.clone(), &self.alerts, self.sort),
            set: self.symbols.into_iter().collect(),
            sort: self.sort,
            input_is_terminal: self.input_is_terminal,
            style: self.style,
            alerts: self.alerts,
            bell: self.bell,
            left: self.limit.count,
            ends,
            lost: None,
            text: String::new(),
            output,
        };
        let result = tokio::select! {
            result = view.show(self.feed, typed_rx) => result,
            () = interrupted => Ok(()),
        };
        reader.abort();
        view.say_what_is_lost();
        result
    }
}

struct View<O> {
    server: ServerAddress,
    /// What is subscribed to, as far as is known, in the order in which it was added.
    set: IndexSet<Symbol>,
    kept: KeptList,
    sort: Sort,
    input_is_terminal: bool,
    style: Style,
    alerts: Alerts,
    bell: bool,
    /// Updates still to be shown; `None`: no limit.
    left: Option<u64>,
    /// When the time is up; `None`: never.
    ends: Option<Instant>,
    /// Why there is no connection, as last said; `None`: there is one, or the first is being made.
    lost: Option<String>,
    /// Lines not yet written.
    text: String,
    output: O,
}

impl<O: AsyncWrite + Unpin> View<O> {
    async fn show(
        &mut self,
        mut feed: Feed,
        mut typed_rx: mpsc::Receiver<Change>,
    ) -> Result<(), Failure> {
        if let Some(header) = self.style.header() {
            self.text = header + "\n";
        }
        let mut events = Vec::with_capacity(EVENTS_AT_ONCE);
        let mut input_open = true;
        let ends = self.ends;
        let mut time_is_up = pin!(async move {
            match ends {
                Some(ends) => sleep_until(ends).await,
                None => pending().await,
            }
        });
        // Never waited for alone: a server that is slow to take requests must not hold its quotes up.
        let mut typed = None;
        // Whether anything is to be asked for, an input that is no terminal knows best: what a server
        // says does not matter before.
        while self.set.is_empty() && !self.input_is_terminal {
            let change = tokio::select! {
                change = typed_rx.recv() => change,
                () = &mut time_is_up => return Ok(()),
            };
            let change = change.ok_or(SettingsError::NoSymbols)?;
            typed = self.follow(&change).then_some(change);
        }
        loop {
            if !self.write().await? || self.left == Some(0) {
                return Ok(());
            }
            tokio::select! {
                () = &mut time_is_up => return Ok(()),
                count = feed.events.recv_many(&mut events, EVENTS_AT_ONCE) => {
                    if count == 0 {
                        say(format_args!("{} has no more quotes to send.", self.server));
                        return Ok(());
                    }
                    let result = events.drain(..).try_for_each(|event| self.take(event?));
                    if result.is_err() {
                        self.write().await?;
                        return result;
                    }
                }
                place = feed.changes.reserve(), if typed.is_some() => {
                    // When nobody takes it, the events say why.
                    if let (Some(change), Ok(place)) = (typed.take(), place) {
                        place.send(change);
                    }
                }
                change = typed_rx.recv(), if input_open && typed.is_none() => {
                    input_open = change.is_some();
                    typed = change.filter(|change| self.follow(change));
                    if !input_open && self.set.is_empty() {
                        return Err(SettingsError::NoSymbols.into());
                    }
                }
            }
        }
    }

    /// Whether the change is one.
    fn follow(&mut self, change: &Change) -> bool {
        match change {
            Change::Add(symbol) => {
                self.set.insert(symbol.clone());
                true
            }
            Change::Drop(symbol) => {
                let was_there = self.set.shift_remove(symbol);
                if !was_there {
                    say(format_args!(
                        "not dropped: {symbol} is none of the symbols asked for"
                    ));
                } else if let Some(alerts) = self.alerts.pause(symbol) {
                    say(format_args!("{symbol} is dropped; {alerts}"));
                }
                was_there
            }
        }
    }

    fn take(&mut self, event: FeedEvent) -> Result<(), Failure> {
        match event {
            FeedEvent::Update(update) => {
                if self.left == Some(0) {
                    return Ok(());
                }
                let alarms = self.alerts.check(&update);
                let bell = if self.bell { "\u{7}" } else { "" };
                for alarm in &alarms {
                    say(format_args!("alert: {alarm}{bell}"));
                }
                let line = self.style.line(&update, &alarms);
                self.text += &match self.style {
                    Style::Columns { .. } => charset::columns(&line),
                    // For programs, which read UTF-8.
                    Style::Json | Style::Csv => line.into(),
                };
                self.text.push('\n');
                self.left = self.left.map(|left| left.saturating_sub(1));
            }
            FeedEvent::Connected => {
                if self.lost.take().is_some() {
                    say(format_args!("connected to {} again", self.server));
                }
            }
            FeedEvent::Lost { why, .. } => {
                let server = &self.server;
                match &self.lost {
                    None => say(format_args!(
                        "the connection to {server} is lost: {why}; trying until it is back"
                    )),
                    // An outage of hours is not worth a line for each attempt.
                    Some(said) if *said == why => {}
                    Some(_) => say(format_args!("no connection to {server} yet: {why}")),
                }
                self.lost = Some(why);
            }
            FeedEvent::Notice(words) => say(format_args!("{words}")),
            FeedEvent::Refused {
                symbol,
                why,
                stays: true,
            } => {
                say(format_args!(
                    "{symbol} is refused: {why}; the next connection is asked for it again"
                ));
            }
            FeedEvent::Refused { symbol, why, .. } => {
                match self.alerts.pause(&symbol) {
                    None => say(format_args!("{symbol} is refused: {why}")),
                    Some(alerts) => say(format_args!("{symbol} is refused: {why} ({alerts})")),
                }
                self.set.shift_remove(&symbol);
                self.kept.refuse(&symbol);
                if self.set.is_empty() {
                    return Err(Failure::AllRefused {
                        server: self.server.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// What was typed is kept nowhere. A list that came from elsewhere is still there.
    fn say_what_is_lost(&self) {
        if !self.input_is_terminal {
            return;
        }
        let now = self
            .kept
            .watched(self.set.iter().cloned().collect(), &self.alerts, self.sort);
        if let Some(arguments) = self.kept.unkept(&now) {
            say_unkept(&arguments);
        }
    }

    /// Writes what waits; whether anybody still reads it.
    async fn write(&mut self) -> Result<bool, Failure> {
        if self.text.is_empty() {
            return Ok(true);
        }
        let written = async {
            self.output.write_all(self.text.as_bytes()).await?;
            self.output.flush().await
        };
        let written = match self.ends {
            None => written.await,
            Some(ends) => match timeout_at(ends + READER_TIMEOUT, written).await {
                Ok(written) => written,
                Err(_) => Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the time is up and nobody reads them",
                )),
            },
        };
        match written {
            Ok(()) => {
                self.text.clear();
                Ok(true)
            }
            // Whoever read this has seen enough, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::Output(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::fin::StockUpdate;
    use tokio::{
        io::{AsyncReadExt, BufReader, duplex, empty},
        time::timeout,
    };

    use super::*;

    fn quote(symbol: &str) -> Result<FeedEvent, Failure> {
        Ok(FeedEvent::Update(Box::new(StockUpdate {
            ticker_symbol: symbol.to_owned(),
            ..StockUpdate::default()
        })))
    }

    fn lines(feed: Feed, limit: Limit) -> Lines {
        Lines {
            feed,
            symbols: vec!["AAPL".parse().expect("a symbol")],
            input_is_terminal: false,
            server: "quotes.lan".parse().expect("an address"),
            style: Style::Csv,
            alerts: Alerts::default(),
            sort: Sort::default(),
            bell: false,
            limit,
        }
    }

    #[tokio::test]
    async fn exactly_as_many_are_shown_as_were_asked_for() {
        let (events_tx, events) = mpsc::channel(100);
        let (changes, _changes_rx) = mpsc::channel(1);
        for _ in 0..100 {
            assert!(events_tx.try_send(quote("AAPL")).is_ok());
        }
        let limit = Limit {
            count: Some(70),
            duration: None,
        };
        let mut output = Vec::new();
        let lines = lines(Feed { events, changes }, limit);
        let shown = lines
            .run(BufReader::new(empty()), &mut output, pending())
            .await;
        assert!(shown.is_ok(), "{shown:?}");
        let text = String::from_utf8(output).expect("text");
        assert_eq!(text.lines().count(), 1 + 70, "{text}");
    }

    #[tokio::test]
    async fn what_was_shown_stays_shown_when_it_ends_badly() {
        let (events_tx, events) = mpsc::channel(2);
        let (changes, _changes_rx) = mpsc::channel(1);
        assert!(events_tx.try_send(quote("AAPL")).is_ok());
        assert!(events_tx.try_send(Err(Failure::PingsUnwanted)).is_ok());
        let mut output = Vec::new();
        let lines = lines(Feed { events, changes }, Limit::default());
        let shown = lines
            .run(BufReader::new(empty()), &mut output, pending())
            .await;
        assert!(matches!(shown, Err(Failure::PingsUnwanted)), "{shown:?}");
        assert!(output.starts_with(b"ticker_symbol,"));
        assert_eq!(output.split(|byte| *byte == b'\n').count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_stuck_when_the_time_is_up_is_a_failure() {
        let (events_tx, events) = mpsc::channel(100);
        let (changes, _changes_rx) = mpsc::channel(1);
        for _ in 0..100 {
            assert!(events_tx.try_send(quote("AAPL")).is_ok());
        }
        let limit = Limit {
            count: None,
            duration: Some(Duration::from_secs(3)),
        };
        let (output, _unread) = duplex(200);
        let lines = lines(Feed { events, changes }, limit);
        let shown = lines.run(BufReader::new(empty()), output, pending()).await;
        assert!(matches!(shown, Err(Failure::Output(_))), "{shown:?}");
    }

    #[tokio::test]
    async fn without_symbols_it_ends_with_its_input_whatever_the_server_says() {
        for (symbols, input) in [("", ""), ("", "-F $$$\n# F"), ("", "F\n-F"), ("F", "-f")] {
            let (events_tx, events) = mpsc::channel(1);
            let (changes, mut changes_rx) = mpsc::channel(4);
            let taken = tokio::spawn(async move { while changes_rx.recv().await.is_some() {} });
            if symbols.is_empty() && !input.starts_with('F') {
                assert!(events_tx.try_send(Err(Failure::PingsUnwanted)).is_ok());
            }
            let lines = Lines {
                symbols: symbols.parse().into_iter().collect(),
                ..lines(Feed { events, changes }, Limit::default())
            };
            let shown = lines.run(input.as_bytes(), Vec::new(), pending()).await;
            let no_symbols = matches!(shown, Err(Failure::Usage(SettingsError::NoSymbols)));
            assert!(no_symbols, "{symbols} {input}: {shown:?}");
            taken.await.expect("no panic");
        }
    }

    #[tokio::test]
    async fn quotes_go_on_while_nobody_takes_what_is_typed() {
        let (events_tx, events) = mpsc::channel(1);
        let (changes, mut changes_rx) = mpsc::channel(1);
        let (mut reader, writer) = duplex(4_096);
        let input: &[u8] = b"A B C D E F";
        let lines = lines(Feed { events, changes }, Limit::default());
        let shown = tokio::spawn(lines.run(input, writer, pending()));
        let mut text = String::new();
        let quoted = async {
            while changes_rx.is_empty() {
                tokio::task::yield_now().await;
            }
            for _ in 0..10 {
                assert!(events_tx.send(quote("AAPL")).await.is_ok());
            }
            drop(events_tx);
            reader.read_to_string(&mut text).await
        };
        let read = timeout(Duration::from_secs(20), quoted).await;
        assert!(matches!(read, Ok(Ok(_))), "{read:?}");
        assert_eq!(text.lines().count(), 1 + 10, "{text}");
        shown.await.expect("no panic").expect("a good end");
        assert!(changes_rx.recv().await.is_some());
    }
}
