//! PollInterval where the system's default device is, and whether a pinned one is there.
//!
//! A thread of its own asks the host, because a frozen audio server answers when it likes; its
//! connection is kept, so that a question costs next to nothing. The supervisor never waits: it
//! asks, and takes the answer when there is one.

use std::sync::mpsc;
use std::time::Duration;

use cpal::Host;
use cpal::traits::HostTrait;

use super::device_routing::{Observation, Pin};
use super::wear_query::WearQuery;
use super::{device_lookup, host, names};
use crate::device::Direction;
use crate::device::stream::{Outstanding, aside};

/// Between two questions: whoever follows the default moves within a second of its change.
const INTERVAL: Duration = Duration::from_millis(400);
/// A thread that has not answered for so long is replaced …
const PATIENCE: Duration = Duration::from_secs(10);
/// … unless so many have not come back.
const MAX_HANGING: usize = 2;

/// What to look for.
#[derive(Debug, Clone)]
pub(crate) struct WatchRequest {
    /// The audio host's name.
    pub(crate) host: String,
    /// The pinned device, if there is one.
    pub(crate) pin: Option<Pin>,
    /// Identifier of the device that the stream is on.
    pub(crate) on: String,
}

/// The supervisor's end.
pub(crate) struct DefaultDeviceWatch {
    direction: Direction,
    thread: Option<Answering>,
    hanging: Outstanding,
    /// When the open question was asked.
    asked: Option<Duration>,
    next: Duration,
    /// The open question is about a stream that is no more.
    outdated: bool,
}

struct Answering {
    question_tx: mpsc::Sender<WatchRequest>,
    answer_rx: mpsc::Receiver<Option<Observation>>,
}

impl DefaultDeviceWatch {
    pub(crate) fn new(direction: Direction) -> Self {
        Self {
            direction,
            thread: None,
            hanging: Outstanding::default(),
            asked: None,
            next: Duration::ZERO,
            outdated: false,
        }
    }

    /// What is being looked at has just been opened: what was asked before says nothing about it.
    pub(crate) fn forget(&mut self) {
        self.outdated = self.asked.is_some();
    }

    /// The answer to an earlier question if it has come; asks the next one when it is due.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        question: impl FnOnce() -> WatchRequest,
    ) -> Option<Observation> {
        if let Some(asked) = self.asked {
            return self.collect(now, asked);
        }
        if now >= self.next && self.start() {
            let thread = self.thread.as_ref()?;
            match thread.question_tx.send(question()) {
                Ok(()) => self.asked = Some(now),
                Err(_) => self.thread = None,
            }
            self.outdated = false;
            self.next = now + INTERVAL;
        }
        None
    }

    fn collect(&mut self, now: Duration, asked: Duration) -> Option<Observation> {
        let answer = self.thread.as_ref()?.answer_rx.try_recv();
        match answer {
            Ok(observation) => {
                self.asked = None;
                observation.filter(|_| !self.outdated)
            }
            Err(mpsc::TryRecvError::Empty) if now.saturating_sub(asked) < PATIENCE => None,
            Err(_) => {
                self.asked = None;
                self.thread = None;
                None
            }
        }
    }

    /// Whether there is a thread to ask.
    fn start(&mut self) -> bool {
        if self.thread.is_some() {
            return true;
        }
        if self.hanging.count() >= MAX_HANGING {
            return false;
        }
        let direction = self.direction;
        let (question_tx, question_rx) = mpsc::channel();
        let (answer_tx, answer_rx) = mpsc::channel();
        let name = format!("{}-default", direction.noun());
        let started = aside(&name, &self.hanging, move || {
            answer(direction, &question_rx, &answer_tx);
        });
        if started.is_ok() {
            self.thread = Some(Answering {
                question_tx,
                answer_rx,
            });
        }
        started.is_ok()
    }
}

/// Answers until nobody asks any more.
fn answer(
    direction: Direction,
    question_rx: &mpsc::Receiver<WatchRequest>,
    answer_tx: &mpsc::Sender<Option<Observation>>,
) {
    host::silence();
    let mut connected: Option<(String, Host)> = None;
    let mut wear = WearQuery::default();
    while let Ok(question) = question_rx.recv() {
        if connected
            .as_ref()
            .is_none_or(|(name, _)| *name != question.host)
        {
            let host = host::by_name(&question.host).and_then(host::connect);
            connected = host.ok().map(|host| (question.host.clone(), host));
        }
        let observation = connected
            .as_ref()
            .and_then(|(_, host)| sight(host, direction, question.pin.as_ref()))
            .map(|observation| Observation {
                worn: wear.ask(&question.host, direction, &question.on),
                ..observation
            });
        if observation.is_none() {
            // A server that has ended leaves a connection that never answers again.
            connected = None;
        }
        if answer_tx.send(observation).is_err() {
            return;
        }
    }
}

/// `None`: the host does not answer.
fn sight(host: &Host, direction: Direction, pin: Option<&Pin>) -> Option<Observation> {
    let default = device_lookup::default_device(host, direction)
        .map(|device| device_lookup::label(&device).0);
    let pinned = match pin {
        None => false,
        // Not whether it can be opened in this direction: to know that, ALSA would open them all.
        Some(pin) => names::known(
            host.devices()
                .ok()?
                .map(|device| device_lookup::label(&device)),
            pin,
        )
        .is_some(),
    };
    if default.is_none() && pin.is_none() {
        return None;
    }
    Some(Observation {
        default,
        pinned,
        worn: None,
    })
}
