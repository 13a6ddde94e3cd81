//! The full-screen view: a table of quotes that is kept up to date, and keys to work with it.
//!
//! One task waits for quotes, keys and signals, and draws at most fifteen times a second, however
//! many quotes come; when nothing happens, once a second, for the ages. A thread beside it reads the
//! keys. What is shown is decided by [`Watchlist`], which knows no terminal.

mod draw;
mod key_reader;
mod keys;
mod prompt;
mod screen;
mod signals;
mod table;
pub mod terminal;
mod theme;

use std::{
    collections::VecDeque,
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossterm::event::Event;
use proto::{ServerAddress, Symbol};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use crate::{
    alert::Alerts,
    failure::Failure,
    feed::{Change, Feed, FeedEvent},
    lines::Limit,
    say::say,
    watchlist::{Moment, Sort, Watchlist},
};
use key_reader::read_keys;
use screen::{Screen, Wish};
use signals::{Signals, Told};
use terminal::FullScreen;
use theme::Theme;
use tty::JobEvent;

/// The least time between two pictures.
const FRAME: Duration = Duration::from_millis(66);

/// The most time between two pictures, because ages grow.
const IDLE: Duration = Duration::from_secs(1);

/// Events that are taken at once.
const BATCH: usize = 64;

/// What is looked at, and for how long.
#[derive(Debug)]
pub struct View {
    /// The quotes' way in and the wishes' way out.
    pub feed: Feed,
    /// The symbols that the feed was started with.
    pub symbols: Vec<Symbol>,
    /// What to call the person for.
    pub alerts: Alerts,
    /// The order of the rows at first.
    pub sort: Sort,
    /// Whom the feed asks.
    pub server: ServerAddress,
    /// When the end comes by itself.
    pub limit: Limit,
}

/// Takes the terminal and shows the table, until the person quits, the limit is reached, the
/// server has no more quotes, or a signal asks for the end. The terminal is then as it was.
///
/// # Errors
///
/// What the feed ended with, or [`Failure::Output`] when there is no terminal to draw on.
pub async fn run(view: View) -> Result<(), Failure> {
    let theme = Theme::of_environment();
    let server = view.server.clone();
    let terminal = FullScreen::enter(theme.colour).map_err(Failure::Output)?;
    let end = Viewer::new(view, theme, terminal)?.watch().await?;
    if end == End::NoMore {
        say(format_args!("{server} has no more quotes to send."));
    }
    Ok(())
}

/// Why there is nothing more to show.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Somebody wanted it.
    Wanted,
    /// The server has no more quotes.
    NoMore,
}

struct Viewer {
    terminal: FullScreen,
    theme: Theme,
    screen: Screen,
    feed: Feed,
    /// Changes that the feed has not taken yet.
    changes: VecDeque<Change>,
    server: ServerAddress,
    signals: Signals,
    keys_rx: mpsc::Receiver<io::Result<Event>>,
    started: Instant,
    /// `None`: no limit.
    updates_left: Option<u64>,
    ends: Option<Instant>,
}

impl Viewer {
    fn new(view: View, theme: Theme, terminal: FullScreen) -> Result<Self, Failure> {
        let started = Instant::now();
        Ok(Self {
            terminal,
            theme,
            screen: Screen::new(Watchlist::new(view.symbols, view.sort), view.alerts),
            feed: view.feed,
            changes: VecDeque::new(),
            server: view.server,
            signals: Signals::listen().map_err(Failure::Output)?,
            keys_rx: read_keys().map_err(Failure::Output)?,
            started,
            updates_left: view.limit.count,
            ends: view
                .limit
                .duration
                .and_then(|after| started.checked_add(after)),
        })
    }

    async fn watch(mut self) -> Result<End, Failure> {
        let mut batch = Vec::with_capacity(BATCH);
        // Drawn at once, and then when something has changed or a second is over.
        let mut next_picture = self.started;
        let mut drawn = self.started;
        loop {
            let ends = self.ends;
            tokio::select! {
                () = sleep_until(next_picture) => {
                    let is_drawn = self.draw().map_err(Failure::Output)?;
                    drawn = Instant::now();
                    next_picture = drawn + if is_drawn { IDLE } else { FRAME };
                    continue;
                }
                () = sleep_until(ends.unwrap_or(self.started)), if ends.is_some() => {
                    return Ok(End::Wanted);
                }
                count = self.feed.events.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return Ok(End::NoMore);
                    }
                    for event in batch.drain(..) {
                        if self.take(event?)? == Some(End::Wanted) {
                            return Ok(End::Wanted);
                        }
                    }
                }
                key = self.keys_rx.recv() => {
                    let key = key.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()));
                    let wish = self.follow(key.map_err(Failure::Output)?);
                    match wish {
                        Wish::Quit => return Ok(End::Wanted),
                        Wish::Suspend => tty::request_stop(),
                        Wish::DrawAnew => self.terminal.forget(),
                        Wish::Changes(changes) => self.changes.extend(changes),
                    }
                }
                place = self.feed.changes.clone().reserve_owned(), if !self.changes.is_empty() => {
                    match (place, self.changes.pop_front()) {
                        (Ok(place), Some(change)) => drop(place.send(change)),
                        // The feed is at its end; its last event says why.
                        _ => self.changes.clear(),
                    }
                    continue;
                }
                told = self.signals.next() => match told {
                    Told::End => return Ok(End::Wanted),
                    Told::Job(JobEvent::Stop(stopping)) => {
                        self.terminal.give_back();
                        stopping.over().await;
                        self.terminal.take_again().map_err(Failure::Output)?;
                    }
                    Told::Job(JobEvent::Continued) => {
                        self.terminal.take_again().map_err(Failure::Output)?;
                    }
                },
            }
            next_picture = drawn + FRAME;
        }
    }

    fn take(&mut self, event: FeedEvent) -> Result<Option<End>, Failure> {
        let is_update = matches!(event, FeedEvent::Update(_));
        self.screen.take(event, self.now());
        if self.screen.list.take_bell() {
            self.terminal.ring();
        }
        if is_update && let Some(left) = &mut self.updates_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(Some(End::Wanted));
            }
        }
        Ok(None)
    }

    fn follow(&mut self, event: Event) -> Wish {
        match event {
            Event::Key(key) => return self.screen.key(&key, self.now()),
            Event::Paste(text) => self.screen.paste(text),
            // Also when the size is the same again: what a terminal has cut off it does not bring
            // back.
            Event::Resize(..) => return Wish::DrawAnew,
            Event::Mouse(_) | Event::FocusGained | Event::FocusLost => {}
        }
        Wish::Changes(Vec::new())
    }

    fn draw(&mut self) -> io::Result<bool> {
        let now = self.now();
        let Self {
            terminal,
            screen,
            server,
            theme,
            ..
        } = self;
        terminal.draw(|frame| draw::draw(frame, screen, server, now, *theme))
    }

    fn now(&self) -> Moment {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Moment {
            since_start: self.started.elapsed(),
            unix_us: i64::try_from(unix.unwrap_or_default().as_micros()).unwrap_or(i64::MAX),
        }
    }
}
