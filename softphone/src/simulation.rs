//! A whole call on a virtual clock: the real engine, queue and numbering, a far end made of the
//! processing of a server's leg, and between them a line as bad as one asks for.
//!
//! `far_end` is the server's side; `virtual_call` is `--virtual-time`. Deterministic, and as fast as
//! the machine: nothing here reads a real clock or waits. Runs on whichever thread steps it.

#[cfg(test)]
mod echo_simulation;
pub mod far_end;
pub mod virtual_call;

use std::{collections::VecDeque, time::Duration};

use audio::{Effects, Format, LegError};
use futures_util::FutureExt;
use line::{ImpairedLine, Impairment};
use proto::callcenter::AudioChunk;

use crate::{
    clock::{Clock, SetClock},
    device::{Microphone, Speaker},
    engine::{
        Engine, EngineStatus,
        capture_path::{CapturePath, PathError},
        echo_control::{EchoControl, EchoMemory},
        near_end_choice::NearEndChoice,
        playout_path::{Downlink, PlayoutPath},
        uplink::Uplink,
    },
    session::{
        Line, SessionStatus,
        numbering::{Numbering, PROBE},
    },
    simulation::far_end::FarEnd,
};

/// How often the engine looks at its devices, as it does in real time.
pub const LOOK: Duration = Duration::from_millis(2);

/// What to simulate.
#[derive(Debug, Clone)]
pub struct SimulationOptions {
    /// What is sent.
    pub format: Format,
    /// Samples per channel in each chunk.
    pub chunk_samples: usize,
    /// Of the encoder.
    pub bitrate: u32,
    /// What the far end does to the sound.
    pub effects: Effects,
    /// How bad the line is, each way. Jitter differs between the two directions, stalls do not. What
    /// it says of clocks is the devices' business.
    pub impairment: Impairment,
}

/// Why a simulation cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The near end.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The far end.
    #[error("the far end: {0}")]
    FarEnd(#[from] LegError),
}

/// A call, its line, its far end, and the time.
pub struct Simulation {
    options: SimulationOptions,
    clock: Clock,
    hand: SetClock,
    now: Duration,
    engine: Engine,
    uplink: Uplink,
    there: ImpairedLine,
    back: ImpairedLine,
    stream: Option<Stream>,
    /// Whether the far end is known to acknowledge, from any stream.
    acknowledges: bool,
    muted: bool,
    session: SessionStatus,
}

/// What lasts as long as one stream.
struct Stream {
    numbering: Numbering,
    far_end: FarEnd,
    /// On their way, with the time of their arrival.
    there: VecDeque<(Duration, AudioChunk)>,
    back: VecDeque<(Duration, AudioChunk)>,
    /// When the line last moved, one way or the other.
    moved: Duration,
    heard: bool,
    said_all: bool,
    ended: bool,
}

impl Simulation {
    /// A call that is not connected yet, at time zero.
    ///
    /// # Errors
    /// The codec or a resampler cannot be set up.
    pub fn new(
        options: SimulationOptions,
        microphone: Box<dyn Microphone>,
        speaker: Box<dyn Speaker>,
    ) -> Result<Self, SimulationError> {
        let capture = CapturePath::new(
            microphone,
            options.format,
            options.chunk_samples,
            options.bitrate,
        )?;
        let playout = PlayoutPath::new(speaker, options.format)?.encoded_at(options.bitrate);
        let near_end = NearEndChoice::default();
        let echo = EchoControl::new(near_end, false, false, EchoMemory::default())
            .map_err(PathError::from)?;
        let (clock, hand) = Clock::virtual_time();
        let other_seed = Impairment {
            seed: !options.impairment.seed,
            ..options.impairment.clone()
        };
        Ok(Self {
            clock,
            hand,
            now: Duration::ZERO,
            engine: Engine::new(capture, playout, echo),
            uplink: Uplink::new(clock),
            there: options.impairment.line(),
            back: other_seed.line(),
            stream: None,
            acknowledges: false,
            muted: false,
            session: SessionStatus::default(),
            options,
        })
    }

    /// Begins a stream.
    pub fn connect(&mut self) {
        let Self {
            options,
            clock,
            now,
            ..
        } = self;
        self.stream = Some(Stream {
            numbering: Numbering::new(*clock, options.format, self.acknowledges),
            far_end: FarEnd::new(options.format, &options.effects),
            there: VecDeque::new(),
            back: VecDeque::new(),
            moved: *now,
            heard: false,
            said_all: false,
            ended: false,
        });
        self.uplink.open();
    }

    /// Breaks the stream; what was on its way is lost.
    pub fn cut(&mut self) {
        if let Some(stream) = self.stream.take() {
            self.acknowledges = stream.numbering.acknowledges();
            self.session.line = Line::Lost {
                why: "cut".to_owned(),
                attempt: None,
            };
            self.uplink.interrupt();
        }
    }

    /// Mutes or unmutes the near end.
    pub fn set_muted(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// We have said all. The call is [over](Self::is_over) when the rest was played.
    pub fn hang_up(&mut self) {
        self.uplink.close();
    }

    /// Whether all was said, answered and played.
    pub fn is_over(&self) -> bool {
        self.engine.is_finished()
    }

    /// One look of the engine, and all that happened on the line since the last one. `arrives` is
    /// told each chunk that reaches the far end, and when.
    ///
    /// # Errors
    /// A codec failed.
    pub fn step(
        &mut self,
        arrives: impl FnMut(Duration, &AudioChunk),
    ) -> Result<(), SimulationError> {
        self.serve(arrives)?;
        self.receive();
        self.hand.set(self.now);
        let uplink = &self.uplink;
        self.engine
            .tick(self.now, self.muted, |chunk| uplink.push(chunk))?;
        self.send();
        self.now += LOOK;
        Ok(())
    }

    /// The time of the next step.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// The engine, for what it has heard.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's figures; levels since the last call.
    pub fn status(&mut self) -> EngineStatus {
        self.engine.status(self.muted)
    }

    /// The figures that a session has.
    pub fn session(&self) -> &SessionStatus {
        &self.session
    }

    /// Chunks that were dropped on the way out because they were late.
    pub fn dropped(&self) -> u64 {
        self.uplink.dropped()
    }

    /// The far end answers what has reached it.
    fn serve(&mut self, mut arrives: impl FnMut(Duration, &AudioChunk)) -> Result<(), LegError> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while let Some((at, request)) = pop_due(&mut stream.there, self.now) {
            arrives(at, &request);
            let answer = stream.far_end.answer(&request, at)?;
            stream.back.push_back((self.back.arrival(at), answer));
        }
        Ok(())
    }

    /// We take the answers that have reached us, each at its own time.
    fn receive(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        while let Some((at, answer)) = pop_due(&mut stream.back, self.now) {
            self.hand.set(at);
            stream.moved = at;
            let session = &mut self.session;
            if !std::mem::replace(&mut stream.heard, true) {
                self.engine.receive(Downlink::Began, self.now);
                session.reconnects += u64::from(matches!(session.line, Line::Lost { .. }));
                session.line = Line::Connected;
            }
            if let Some(accepted) = &answer.accepted {
                session.leg_id.clone_from(&accepted.leg_id);
                session.processing_delay_us = Some(accepted.processing_delay_us);
                let returns_own_voice = accepted.echo;
                let far_end = Downlink::FarEnd { returns_own_voice };
                self.engine.receive(far_end, self.now);
            }
            session.chunks_received += 1;
            session.sound_received += u64::from(!answer.audio_data.is_empty());
            let incoming = stream.numbering.receive(answer);
            session.round_trip = stream.numbering.round_trip();
            self.engine.receive(Downlink::Chunk(incoming), self.now);
        }
        let answered = stream.there.is_empty() && stream.back.is_empty();
        if stream.said_all && answered && !std::mem::replace(&mut stream.ended, true) {
            self.session.line = Line::Ended;
            self.engine.receive(Downlink::Ended, self.now);
        }
    }

    /// Hands to the line what may be handed to it, by the rules of the session.
    fn send(&mut self) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        loop {
            let may_send = !stream.numbering.would_wait()
                || self.now.saturating_sub(stream.moved) >= PROBE
                || self.uplink.is_closed();
            if !may_send {
                return;
            }
            // Nobody fills the queue while we look, so what is not there now does not come.
            let Some(next) = self.uplink.pop().now_or_never() else {
                return;
            };
            let Some(outgoing) = next else {
                stream.said_all = true;
                return;
            };
            let mut chunk = AudioChunk::default();
            stream.numbering.stamp(&mut chunk, outgoing);
            stream.moved = self.now;
            self.session.chunks_sent += 1;
            stream
                .there
                .push_back((self.there.arrival(self.now), chunk));
        }
    }
}

/// The oldest that is due.
fn pop_due<T>(queue: &mut VecDeque<(Duration, T)>, now: Duration) -> Option<(Duration, T)> {
    let is_due = queue.front().is_some_and(|(due, _)| *due <= now);
    is_due.then(|| queue.pop_front()).flatten()
}

#[cfg(test)]
mod tests;
