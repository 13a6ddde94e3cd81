//! From averaged spectra to a judgement that can be acted on.

use std::time::Duration;

use super::cross_spectrum::{CrossSpectrum, HOP, RATE_HZ};
use crate::{
    frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
    measure::rms_dbfs,
    processing::{Resampler, ResamplerError},
};

/// Lags in steps: up to 0.45 s. The first are not looked at. A reference is early by more than that
/// (`near_end_reference`), and a call that returns one's own voice within the length of a frame
/// would stand out there.
const FIRST_LAG: usize = 3;
const LAGS: usize = 45;
/// Steps that are averaged: 1.2 s. Long enough for two syllables of each side.
const AVERAGED: f32 = 120.0;
/// Only what stands out so far is coupling: chance comes to 3.
const STANDS_OUT: f32 = 8.0;
/// And it stays where it is for so many steps: what comes of long vowels wanders sooner.
const STAYS: u32 = 75;
/// A lag may lie between two steps.
const SAME_LAG: usize = 1;
/// Below this nothing is played.
const ACTIVE_DBFS: f32 = -55.0;

/// A loop that howls is as loud as this at both ends, without a pause, for so many steps: a voice
/// has one between any two syllables.
const HOWL_DBFS: f32 = -22.0;
const HOWL_STEPS: u32 = 100;

/// A microphone that hears the loudspeaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coupling {
    /// From what was played to where it was captured, to 10 ms.
    pub lag: Duration,
    /// The level of what is captured against what was played, in dB. While somebody speaks at the
    /// same time it is too high by a few.
    pub gain_db: f32,
}

/// Watches a call. Some 30 µs of work for each 10 ms.
pub struct CouplingMonitor {
    played: Resampler,
    captured: Resampler,
    played_8k: Vec<f32>,
    captured_8k: Vec<f32>,
    spectrum: CrossSpectrum,
    /// Steps since anything was played.
    silent: usize,
    candidate: usize,
    stays: u32,
    coupling: Option<Coupling>,
    /// Steps with something played since a coupling was last seen.
    without: u32,
    /// Steps since either end was last quiet.
    loud: u32,
}

impl CouplingMonitor {
    /// A monitor that has heard nothing.
    ///
    /// # Errors
    /// Never, as both rates are its own.
    pub fn new() -> Result<Self, ResamplerError> {
        let down = || Resampler::new(SAMPLE_RATE_HZ, RATE_HZ as u32, 1);
        Ok(Self {
            played: down()?,
            captured: down()?,
            played_8k: Vec::new(),
            captured_8k: Vec::new(),
            spectrum: CrossSpectrum::new(LAGS, AVERAGED),
            silent: LAGS,
            candidate: 0,
            stays: 0,
            coupling: None,
            without: 0,
            loud: 0,
        })
    }

    /// Takes the next 10 ms at 48 kHz of what is played, and of what is captured meanwhile.
    pub fn push(
        &mut self,
        played: &[f32; SAMPLES_PER_CHANNEL],
        captured: &[f32; SAMPLES_PER_CHANNEL],
    ) {
        let is_loud = rms_dbfs(played).min(rms_dbfs(captured)) > HOWL_DBFS;
        self.loud = if is_loud { self.loud + 1 } else { 0 };
        self.silent = if rms_dbfs(played) > ACTIVE_DBFS {
            0
        } else {
            self.silent.saturating_add(1)
        };
        self.played.process(played, &mut self.played_8k);
        self.captured.process(captured, &mut self.captured_8k);
        while self.played_8k.len() >= HOP && self.captured_8k.len() >= HOP {
            // What was played a moment ago may still be heard.
            let is_telling = self.silent < LAGS;
            self.spectrum
                .step(&self.played_8k[..HOP], &self.captured_8k[..HOP], is_telling);
            self.played_8k.drain(..HOP);
            self.captured_8k.drain(..HOP);
            if is_telling {
                self.judge();
            }
        }
    }

    /// What is heard of the loudspeaker now; `None` where that is nothing, or not enough to tell.
    pub fn coupling(&self) -> Option<Coupling> {
        self.coupling
    }

    /// Whether both ends have been loud without a pause for so long that it must be a loop. Most of
    /// those are not seen as coupling: what goes round repeats itself, as a monotonous voice does.
    pub fn howls(&self) -> bool {
        self.loud >= HOWL_STEPS
    }

    /// For how long something was played since a coupling was last seen.
    pub fn without(&self) -> Duration {
        Duration::from_millis(10) * self.without
    }

    fn judge(&mut self) {
        let peak = self.spectrum.peak(FIRST_LAG);
        if peak.ratio < STANDS_OUT || peak.lag.abs_diff(self.candidate) > SAME_LAG {
            self.stays = 0;
            self.candidate = peak.lag;
        }
        if peak.ratio >= STANDS_OUT {
            self.stays += 1;
        }
        self.coupling = (self.stays >= STAYS).then(|| Coupling {
            lag: Duration::from_millis(10) * self.candidate as u32,
            gain_db: peak.gain_db,
        });
        self.without = match self.coupling {
            Some(_) => 0,
            None => self.without.saturating_add(1),
        };
    }
}

#[cfg(test)]
mod tests;
