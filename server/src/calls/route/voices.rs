//! Each speaker's way into the mixer, and what it says at this tick.

use std::{collections::VecDeque, time::Duration};

use audio::{
    Effects, Format, Gap,
    frame::{Frame, SAMPLES_PER_CHANNEL},
    mixing::{Arrived, ExactFrame, InboundPath, MixingError},
};

/// So many of its newest packets warm a voice's decoder.
const WARMING_PACKETS: usize = 3;

/// So many are kept: more than a jitter buffer holds, as a rule.
const KEPT_PACKETS: usize = 24;

/// Below this level (−dBov, RFC 6464) nothing is heard, and nothing mixed.
const INAUDIBLE_LEVEL: u8 = 72;

/// After so many ticks below it: the ends of words are quiet.
const INAUDIBLE_TICKS: u32 = 20;

/// After so many ticks in which nobody mixed it, a voice's jitter buffer and effects are given up.
const UNMIXED_TICKS: u32 = 100;

/// Whether what a voice said last was heard, in another way than by being mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Heard,
    NotHeard,
}

/// One speaker.
pub(super) struct Voice {
    format: Format,
    effects: Effects,
    inbound: Option<InboundPath>,
    kept: VecDeque<Arrived>,
    quiet_ticks: u32,
    unmixed_ticks: u32,
    frame: Option<ExactFrame>,
}

impl Voice {
    pub(super) fn new(format: Format, effects: &Effects) -> Self {
        Self {
            format,
            effects: effects.clone(),
            inbound: None,
            kept: VecDeque::new(),
            quiet_ticks: 0,
            unmixed_ticks: 0,
            frame: None,
        }
    }

    /// Takes a packet as it arrives.
    pub(super) fn insert(&mut self, arrived: &Arrived) {
        if let Some(inbound) = &mut self.inbound {
            inbound.insert(arrived);
        }
        let silences = matches!(arrived.gap, Gap::Muted | Gap::Silence | Gap::Device);
        if arrived.payload.is_empty() && silences {
            self.kept.clear();
        }
        if !arrived.payload.is_empty() {
            if self.kept.len() == KEPT_PACKETS {
                self.kept.pop_front();
            }
            self.kept.push_back(arrived.clone());
        }
    }

    /// The packets that came, and are not mixed yet.
    pub(super) fn waiting(&self) -> Vec<Arrived> {
        let Some(position) = self.position() else {
            return Vec::new();
        };
        let waiting = self
            .kept
            .iter()
            .filter(|packet| packet.media_time >= position);
        waiting.cloned().collect()
    }

    /// From now on it is mixed. Returns what was heard elsewhere as frames, for an encoder that takes over.
    ///
    /// # Errors
    /// The codec or a resampler cannot be set up.
    pub(super) fn begin(&mut self, before: Before) -> Result<Vec<Frame>, MixingError> {
        self.unmixed_ticks = 0;
        if self.inbound.is_some() {
            return Ok(Vec::new());
        }
        let inbound = self
            .inbound
            .insert(InboundPath::new(self.format, &self.effects)?);
        let mut heard = Vec::new();
        let older = self.kept.len().saturating_sub(WARMING_PACKETS);
        for packet in self.kept.iter().skip(older) {
            match before {
                Before::Heard => heard.extend(inbound.warm(&packet.payload)),
                Before::NotHeard => inbound.insert(packet),
            }
        }
        let channels = self.format.channels();
        let frames = heard.rchunks_exact(SAMPLES_PER_CHANNEL * channels);
        let mut frames: Vec<_> = frames
            .map(|samples| {
                let mut frame = Frame::silence(channels);
                frame.fill_from_interleaved(samples);
                frame
            })
            .collect();
        frames.reverse();
        Ok(frames)
    }

    /// What it says in these 10 ms. `is_mixed`: somebody wants to hear that.
    pub(super) fn tick(&mut self, is_mixed: bool, now: Duration) {
        self.frame = None;
        self.unmixed_ticks = match is_mixed {
            true => 0,
            false => self.unmixed_ticks + 1,
        };
        if self.unmixed_ticks > UNMIXED_TICKS {
            self.inbound = None;
        }
        let Some(inbound) = &mut self.inbound else {
            return;
        };
        inbound.pull(now);
        let is_quiet = inbound.level() > INAUDIBLE_LEVEL;
        self.quiet_ticks = match is_quiet {
            true => self.quiet_ticks.saturating_add(1),
            false => 0,
        };
        let is_audible = self.quiet_ticks < INAUDIBLE_TICKS;
        self.frame = is_audible.then(|| ExactFrame::new(inbound.frame()));
    }

    /// Whether it is, or was a moment ago.
    pub(super) fn is_mixed(&self) -> bool {
        self.inbound.is_some()
    }

    /// Whether it makes a pause.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet_ticks > 1
    }

    /// What it says at this tick; `None`: nothing that is heard.
    pub(super) fn frame(&self) -> Option<&ExactFrame> {
        self.frame.as_ref()
    }

    /// The level of what it says at this tick (−dBov, RFC 6464), if it is mixed.
    pub(super) fn level(&self) -> Option<u8> {
        self.inbound.as_ref().map(InboundPath::level)
    }

    /// How old the first sample of its frame is, in microseconds, if known.
    pub(super) fn age_us(&self) -> Option<u32> {
        self.inbound.as_ref()?.age_us()
    }

    /// Whether it is mixed, and has begun to be heard there.
    pub(super) fn is_playing(&self) -> bool {
        self.inbound.as_ref().is_some_and(InboundPath::is_playing)
    }

    /// The media time of the next sample to be mixed.
    pub(super) fn position(&self) -> Option<u64> {
        self.inbound.as_ref()?.position()
    }
}
