//! When which of it is done: the tone at the beginning and after a change of devices, the watch all
//! the time, and the decision that follows from both. Pure; on the engine thread.

use std::time::Duration;

use audio::{
    ResamplerError,
    near_end::{Coupling, EchoCanceller, NearEndOptions},
};

use super::{
    connect_tone::ToneRecording,
    coupling_watch::CouplingWatch,
    decision::{
        AUDIBLE_DB, EchoPath, EchoStatus, Known, decide, gain_db, kind, loudest_echo_db,
        worn_by_name,
    },
    memory::{DevicePair, EchoMemory},
};
use crate::{
    device::Worn,
    engine::{
        aligned_frames::Rendered,
        near_end_choice::{EchoChoice, NearEndChoice},
    },
};

/// Devices find their pace before the tone begins.
const SETTLING: Duration = Duration::from_millis(100);
/// A call that may still be refused begins without a tone; a far end that says nothing until it hears
/// something must not wait for ever.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(750);
/// A tone that a device tore sounds once more, and no oftener.
const MAX_TONES: u32 = 2;
/// Without a tone until now there will be none: a device gives nothing.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// What was heard and is not any more has gone after so much of what could have been heard.
const GONE: Duration = Duration::from_secs(30);
/// Where no tone could be looked for, there is no echo after so much of what would have made one.
const UNHEARD: Duration = Duration::from_secs(4);
/// Weaker than this the watch may be deaf to it, so its silence means nothing.
const WATCHED_DB: f32 = -25.0;
/// So much louder than it is known to be, an echo is another one. While somebody speaks it is taken for
/// louder than it is by a few dB.
const LOUDER_DB: f32 = 6.0;
/// So strong an echo does not wait for a pause.
const STRONG_DB: f32 = -3.0;

/// What a call found out about a pair of devices.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// Which.
    pub pair: DevicePair,
    /// What.
    pub path: EchoPath,
}

#[derive(Debug)]
enum Phase {
    /// Until both devices give and take sound, and the far end has answered.
    Waiting { since: Option<Duration> },
    /// The tone is on its way.
    Sounding(ToneRecording),
    /// It is being looked for.
    Searching { is_silent: bool },
    /// Nothing is left but the watch.
    Watching,
}

/// Decides whether the echo canceller is on.
pub struct EchoControl {
    choice: NearEndChoice,
    plays_tone: bool,
    memory: EchoMemory,
    watch: CouplingWatch,
    phase: Phase,
    /// How many have sounded between these devices.
    tones: u32,
    /// `None` before the devices are known.
    pair: Option<DevicePair>,
    known: Known,
    status: EchoStatus,
    /// Nothing depends on any measurement.
    is_fixed: bool,
    /// The microphone may be let through.
    is_open: bool,
    is_urgent: bool,
    gave: bool,
    took: bool,
    is_answered: bool,
    learned: Vec<Learned>,
}

impl EchoControl {
    /// For `choice`; `has_devices`: the sound comes from and goes to real ones. With a tone only if
    /// it `plays_tone`.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn new(
        choice: NearEndChoice,
        has_devices: bool,
        plays_tone: bool,
        memory: EchoMemory,
    ) -> Result<Self, ResamplerError> {
        let fixed = match choice.echo {
            EchoChoice::On => Some(EchoStatus::new(
                Some(EchoCanceller::Aec3),
                "asked",
                "--aec on",
            )),
            EchoChoice::Off => Some(EchoStatus::new(None, "asked", "--aec off")),
            EchoChoice::Auto if !has_devices => Some(EchoStatus::new(
                None,
                "no_devices",
                "there is no real microphone with a real speaker",
            )),
            EchoChoice::Auto => None,
        };
        Ok(Self {
            choice,
            plays_tone,
            memory,
            watch: CouplingWatch::new()?,
            phase: Phase::Watching,
            tones: 0,
            pair: None,
            known: Known::default(),
            is_fixed: fixed.is_some(),
            is_open: fixed.is_some(),
            status: fixed.unwrap_or_default(),
            is_urgent: true,
            gave: false,
            took: false,
            is_answered: false,
            learned: Vec::new(),
        })
    }

    /// Which devices are in use. Another pair is measured anew, unless it is remembered.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn follow_devices(&mut self, pair: &DevicePair, worn: &Worn) -> Result<(), ResamplerError> {
        if self.is_fixed {
            return Ok(());
        }
        let why_worn = match worn.worn {
            Some(true) => Some(worn.reason.clone()),
            Some(false) => None,
            None => worn_by_name(&pair.speaker),
        };
        let is_another = self.pair.as_ref() != Some(pair);
        let is_moved = why_worn != self.known.worn;
        if !is_another && !is_moved {
            return Ok(());
        }
        self.watch = CouplingWatch::new()?;
        // A speaker that was put on or off under the same name is not the one that is remembered.
        let path = match is_another {
            true => self.memory.recall(pair),
            false => EchoPath::Unknown,
        };
        self.pair = Some(pair.clone());
        self.known = Known {
            path,
            worn: why_worn,
            returns_own_voice: self.known.returns_own_voice,
            howled: false,
        };
        let measures = self.plays_tone && path == EchoPath::Unknown && self.known.worn.is_none();
        self.tones = 0;
        if measures {
            self.phase = Phase::Waiting { since: None };
        } else {
            self.open();
        }
        Ok(())
    }

    /// The far end has answered: the call is accepted.
    pub fn answered(&mut self) {
        self.is_answered = true;
    }

    /// Whether the far end returns what it is sent; `None` if it does not say.
    pub fn far_end_returns(&mut self, own_voice: Option<bool>) {
        self.known.returns_own_voice = own_voice;
        if self.is_open {
            self.is_urgent = false;
            self.decide();
        }
    }

    /// Takes what is played, also when it is nothing.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn hear(&mut self, rendered: Rendered<'_>) -> Result<(), ResamplerError> {
        self.took |= !rendered.samples.is_empty();
        if !self.watches() {
            return Ok(());
        }
        self.watch.hear(rendered)
    }

    /// Takes what the microphone gave, mono at 48 kHz, whose newest sample is `latency` old.
    pub fn listen(&mut self, captured: &[f32], latency: Duration, now: Duration) {
        self.gave |= !captured.is_empty();
        if !self.watches() {
            return;
        }
        let echo_gain_db = loudest_echo_db(&self.known.path);
        self.watch.listen(captured, latency, echo_gain_db, now);
        if self.is_fixed {
            return;
        }
        if let Phase::Sounding(recording) = &mut self.phase {
            recording.push(captured);
        }
        let monitor = self.watch.monitor();
        let found = match self.known.path {
            EchoPath::Some { gain_db, .. } if gain_db > WATCHED_DB && monitor.without() > GONE => {
                Some(EchoPath::None)
            }
            // Where nothing to speak of was heard, there may be an echo by now, and the volume may be
            // another; what is too weak still is nothing new.
            known => {
                let is_news = |found: &Coupling| match known {
                    EchoPath::Some { gain_db, .. } => {
                        found.gain_db >= AUDIBLE_DB.max(gain_db + LOUDER_DB)
                    }
                    EchoPath::None | EchoPath::Unknown => true,
                };
                monitor
                    .coupling()
                    .filter(is_news)
                    .map(|found| EchoPath::Some {
                        gain_db: found.gain_db,
                        lag_ms: u32::try_from(found.lag.as_millis()).unwrap_or(u32::MAX),
                    })
            }
        };
        let howls = monitor.howls() && !self.status.canceller();
        let is_unheard = monitor.without() > UNHEARD;
        if let Some(path) = found {
            self.is_urgent = matches!(path, EchoPath::Some { gain_db, .. } if gain_db > STRONG_DB);
            self.learn(path);
            self.decide();
        }
        if self.known.path == EchoPath::Unknown
            && matches!(self.phase, Phase::Watching)
            && is_unheard
        {
            // Not to be remembered: a weak one was not heard either.
            self.known.path = EchoPath::None;
            self.decide();
        }
        if howls {
            self.known.howled = true;
            self.is_urgent = true;
            self.decide();
        }
    }

    /// Whether the tone is to be handed to the speaker now. Says so once; `told` is what the devices
    /// say that they take altogether.
    pub fn wants_tone(&mut self, told: Duration, now: Duration) -> bool {
        let Phase::Waiting { since } = &mut self.phase else {
            return false;
        };
        let began = *since.get_or_insert(now);
        let passed = now.saturating_sub(began);
        if passed >= PATIENCE {
            self.open();
            return false;
        }
        let is_accepted = self.is_answered || passed >= ANSWER_TIMEOUT;
        if !(self.gave && self.took && is_accepted && passed >= SETTLING) {
            return false;
        }
        self.phase = Phase::Sounding(ToneRecording::begin(told));
        self.tones += 1;
        true
    }

    /// What is to be searched for the tone, once all of it is there.
    pub fn take_recording(&mut self) -> Option<ToneRecording> {
        match &self.phase {
            Phase::Sounding(recording) if recording.is_complete() => {
                let is_silent = recording.is_silent();
                let searching = Phase::Searching { is_silent };
                match std::mem::replace(&mut self.phase, searching) {
                    Phase::Sounding(recording) => Some(recording),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Takes what the search found. `is_torn`: a device lost so much sound meanwhile that the tone may
    /// have been in it.
    pub fn measured(&mut self, path: EchoPath, is_torn: bool) {
        let Phase::Searching { is_silent } = self.phase else {
            // The devices are others by now.
            return;
        };
        // What was heard was heard, torn or not.
        let is_torn = is_torn && !matches!(path, EchoPath::Some { .. });
        if is_torn && self.tones < MAX_TONES && self.known.path == EchoPath::Unknown {
            self.phase = Phase::Waiting { since: None };
            return;
        }
        let path = if is_torn { EchoPath::Unknown } else { path };
        // A microphone that is switched off will not be for ever.
        if path != EchoPath::Unknown && !is_silent {
            self.learn(path);
        }
        if self.known.path == EchoPath::Unknown {
            self.known.path = path;
        }
        self.open();
    }

    /// Whether the microphone is still kept from the far end.
    pub fn withholds(&self) -> bool {
        !self.is_open
    }

    /// What the near end shall do, and whether at once.
    pub fn near_end(&self) -> (NearEndOptions, bool) {
        (self.choice.options(self.status.kind), self.is_urgent)
    }

    /// By how many dB what the near end leaves is changed.
    pub fn gain_db(&self) -> f32 {
        gain_db(&self.known, self.status.kind, self.watch.guard())
    }

    /// Whether what is heard has an echo in it, or lacks what the canceller took for one, that nothing
    /// here can count. Both are so only where one's own voice comes back, or may.
    pub fn may_harm_own_voice(&self) -> bool {
        let is_heard = matches!(self.known.path,
            EchoPath::Some { gain_db, .. } if gain_db >= AUDIBLE_DB);
        let returns = self.known.returns_own_voice != Some(false);
        returns && (self.status.canceller() || is_heard)
    }

    /// What was decided.
    pub fn status(&self) -> &EchoStatus {
        &self.status
    }

    /// What was found out since the last call of this.
    pub fn take_learned(&mut self) -> Vec<Learned> {
        std::mem::take(&mut self.learned)
    }

    /// Where nothing is left to decide and nothing can go round, nothing is listened to.
    fn watches(&self) -> bool {
        !self.is_fixed || self.status.canceller()
    }

    fn open(&mut self) {
        // Nothing was let through yet that a change could be heard in.
        self.is_urgent = !self.is_open;
        self.phase = Phase::Watching;
        self.decide();
        self.is_open = true;
    }

    fn learn(&mut self, path: EchoPath) {
        self.known.path = path;
        if let Some(pair) = &self.pair {
            self.learned.push(Learned {
                pair: pair.clone(),
                path,
            });
        }
    }

    fn decide(&mut self) {
        let before = self.status.clone();
        let status = match self.is_fixed {
            // Only which one may still change.
            true => EchoStatus {
                kind: before.kind.map(|_| kind(&self.known)),
                ..before.clone()
            },
            false => decide(&self.known),
        };
        let is_change = self.is_open && status.canceller() != before.canceller();
        self.status = EchoStatus {
            changes: before.changes + u32::from(is_change),
            ..status
        };
    }
}

#[cfg(test)]
mod tests;
