//! The full-screen view: a table of quotes that is kept up to date, and keys to work with it.
//!
//! One task waits for quotes, keys and signals, and draws at most fifteen times a second, however
//! many quotes come; when nothing happens, once a second, for the ages. A thread beside it reads the
//! keys. What is shown is decided by [`Watchlist`], which knows no terminal.

mod draw;
mod help;
mod key_reader;
mod keys;
mod prompt;
mod screen;
mod signals;
mod table;
pub mod terminal;
mod theme;

use std::{collections::VecDeque, io, path::PathBuf, time::Duration};

use crossterm::event::Event;
use proto::{ServerAddress, Symbol, text::one_line};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    alert::Alerts,
    change::Change,
    clock::Clock,
    failure::Failure,
    feed::Feed,
    feed_event::FeedEvent,
    keep::{self, Edits},
    lines::Limit,
    say::{say, say_unkept},
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

/// How long the configuration file may take to be written.
const KEEP_TIMEOUT: Duration = Duration::from_secs(2);

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
    /// Where a changed list can be kept, if anywhere.
    pub file: Option<PathBuf>,
    /// Variables that decide something of the list before the file does.
    pub variables: Vec<&'static str>,
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
    // Before there is a screen that an end by a signal would leave behind.
    let signals = Signals::listen().map_err(Failure::Output)?;
    let terminal = FullScreen::enter(theme.colour).map_err(Failure::Output)?;
    let mut viewer = Viewer::new(view, theme, terminal, signals)?;
    let end = viewer.watch().await;
    let (unkept, words) = (viewer.screen.unkept(), viewer.words.take());
    drop(viewer);
    if let Some(words) = words {
        say(format_args!("{words}"));
    }
    if let Some(arguments) = unkept {
        say_unkept(&arguments);
    }
    if end? == End::NoMore {
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
    variables: Vec<&'static str>,
    /// To be said when the terminal is given back.
    words: Option<String>,
    signals: Signals,
    keys_rx: mpsc::Receiver<io::Result<Event>>,
    started: Instant,
    clock: Clock,
    /// `None`: no limit.
    updates_left: Option<u64>,
    ends: Option<Instant>,
}

impl Viewer {
    fn new(
        view: View,
        theme: Theme,
        terminal: FullScreen,
        signals: Signals,
    ) -> Result<Self, Failure> {
        let started = Instant::now();
        Ok(Self {
            terminal,
            theme,
            screen: Screen::new(
                Watchlist::new(view.symbols, view.sort),
                view.alerts,
                view.file,
            ),
            feed: view.feed,
            changes: VecDeque::new(),
            server: view.server,
            variables: view.variables,
            words: None,
            signals,
            keys_rx: read_keys().map_err(Failure::Output)?,
            started,
            clock: Clock::start(),
            updates_left: view.limit.count,
            ends: view
                .limit
                .duration
                .and_then(|after| started.checked_add(after)),
        })
    }

    async fn watch(&mut self) -> Result<End, Failure> {
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
                        Wish::Keep { edits, then_quit } => {
                            if self.keep(edits).await && then_quit {
                                return Ok(End::Wanted);
                            }
                        }
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

    /// Writes the edits into the configuration file, and says what came of it; whether they are there.
    async fn keep(&mut self, edits: Edits) -> bool {
        let Some(file) = self.screen.file.clone() else {
            return false;
        };
        let what = edits.what();
        let name = one_line(&file.display().to_string());
        let written = tokio::task::spawn_blocking(move || keep::write(&file, &edits));
        let why = match timeout(KEEP_TIMEOUT, written).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(one_line(&error.to_string())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the disk does not answer".to_owned()),
        };
        let words = match &why {
            Some(why) => format!("{name} was not written: {why}"),
            None if self.variables.is_empty() => format!("{what} kept in {name}"),
            None => {
                let variables = self.variables.join(", ");
                format!("{what} kept in {name}, before which {variables} goes")
            }
        };
        if why.is_none() {
            self.screen.has_kept();
            self.words = Some(words.clone());
        }
        let now = self.now();
        self.screen.list.tell(words, now);
        why.is_none()
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
        Moment {
            since_start: self.clock.now(),
        }
    }
}
