//! Changes what the near end does in the midst of a call, unheard.
//!
//! A new path runs beside the old one until it has learned the echo, and takes over where the
//! microphone pauses. Sound keeps its place in time: where the new one delays more, the line waits
//! once for as much longer, and where it delays less, what the old one still held is sent at once.
//! So nothing is lost, said twice or numbered wrongly. Runs on the engine thread; pure.

use std::time::Duration;

use audio::{
    ResamplerError,
    frame::SAMPLE_RATE_HZ,
    near_end::{NearEndOptions, NearEndStats},
};

use super::{aligned_frames::Rendered, near_end_path::NearEndPath};

/// A new path learns for so long before it is heard.
const WARM_UP: Duration = Duration::from_millis(400);
/// A pause is waited for no longer than this.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// Power of a pause: so far below the loudest of late, or −55 dBFS.
const PAUSE: f32 = 3e-3;
const SILENCE: f32 = 3e-6;
/// Time constants of the level and of the memory for the loudest, in samples: 15 ms and 2 s.
const LEVEL_SAMPLES: f32 = 720.0;
const LOUDEST_SAMPLES: f32 = 96_000.0;
/// A step where one takes over from the other is drawn out over so many samples: 5 ms.
const SMOOTHED: usize = 240;
/// No path holds sound back for longer: 40 ms.
const MOST_HELD: usize = SAMPLE_RATE_HZ as usize / 25;

/// The near end of a call, whatever it does at the moment. Mono at 48 kHz in and out.
#[derive(Default)]
pub struct NearEndSwitch {
    current: Way,
    next: Option<Next>,
    /// How many samples were captured, ever.
    captured: i64,
    /// Which of them comes out next.
    emitted: i64,
    level: PauseDetector,
    step: Step,
}

struct Next {
    way: Way,
    /// From when on it may take over, and by when it will.
    earliest: Duration,
    latest: Duration,
}

impl NearEndSwitch {
    /// From soon on with what `options` ask for: at once before the first sound and where it is
    /// `urgent`, else in a pause. Where that is nothing, nothing is delayed either.
    ///
    /// # Errors
    /// A rate that cannot be resampled.
    pub fn set(
        &mut self,
        options: NearEndOptions,
        urgent: bool,
        now: Duration,
    ) -> Result<(), ResamplerError> {
        if self.current.options() == options {
            self.next = None;
            return Ok(());
        }
        if let Some(next) = self.next.as_mut().filter(|n| n.way.options() == options) {
            if urgent {
                (next.earliest, next.latest) = (now, now);
            }
            return Ok(());
        }
        let way = Way::new(options, self.captured)?;
        if self.captured == 0 {
            // What it gives before the first sample is sent too: so its frames fit into chunks.
            self.emitted = way.first;
            self.current = way;
            return Ok(());
        }
        let (warm_up, patience) = match urgent {
            true => (Duration::ZERO, Duration::ZERO),
            false => (WARM_UP, PATIENCE),
        };
        self.next = Some(Next {
            way,
            earliest: now + warm_up,
            latest: now + patience,
        });
        Ok(())
    }

    /// Takes what is played, also when it is nothing.
    ///
    /// # Errors
    /// The speaker came back at a rate that cannot be resampled.
    pub fn hear(&mut self, rendered: Rendered<'_>) -> Result<(), ResamplerError> {
        for way in self.ways() {
            if let Some(path) = &mut way.path {
                path.hear(rendered)?;
            }
        }
        Ok(())
    }

    /// Takes what was captured and appends what may be sent of it to `output`. `capture_latency` is
    /// how old the newest captured sample is.
    pub fn process(
        &mut self,
        captured: &[f32],
        capture_latency: Duration,
        now: Duration,
        output: &mut Vec<f32>,
    ) {
        self.captured += captured.len() as i64;
        self.level.push(captured);
        for way in self.ways() {
            way.push(captured, capture_latency, now);
        }
        self.emit(output);
        let is_pause = self.level.is_pause();
        let takes_over = |next: &mut Next| now >= next.earliest && (is_pause || now >= next.latest);
        if let Some(next) = self.next.take_if(takes_over) {
            self.current = next.way;
            self.step.begin();
            self.emit(output);
        }
    }

    /// The microphone was away. Returns how many captured samples will never come out.
    pub fn forget(&mut self) -> usize {
        let captured = self.captured;
        for way in self.ways() {
            way.forget(captured);
        }
        let lost = captured - self.emitted;
        self.emitted = captured;
        lost as usize
    }

    /// Captured samples that did not come out yet: those that are no whole frame yet, and those
    /// that the processing delays.
    pub fn held(&self) -> (usize, usize) {
        let held = (self.captured - self.emitted) as usize;
        let delay = self.current.delay().min(held);
        (held - delay, delay)
    }

    /// The figures of this moment, where anything is on.
    pub fn stats(&self) -> Option<NearEndStats> {
        self.current.path.as_ref().map(NearEndPath::stats)
    }

    fn emit(&mut self, output: &mut Vec<f32>) {
        let from = output.len();
        self.emitted = self.current.take(self.emitted, output);
        self.step.smooth(&mut output[from..]);
    }

    fn ways(&mut self) -> impl Iterator<Item = &mut Way> {
        let next = self.next.as_mut().map(|next| &mut next.way);
        std::iter::once(&mut self.current).chain(next)
    }
}

/// One way through the near end: nothing at all, or a path.
#[derive(Default)]
struct Way {
    path: Option<NearEndPath>,
    /// What came out and was not sent.
    held: Vec<f32>,
    /// Which captured sample the first of it is.
    first: i64,
}

impl Way {
    fn new(options: NearEndOptions, captured: i64) -> Result<Self, ResamplerError> {
        let path = options.any().then(|| NearEndPath::new(options));
        let mut way = Self {
            path: path.transpose()?,
            ..Self::default()
        };
        way.forget(captured);
        Ok(way)
    }

    fn options(&self) -> NearEndOptions {
        let path = self.path.as_ref();
        path.map_or_else(NearEndOptions::default, NearEndPath::options)
    }

    fn delay(&self) -> usize {
        self.path.as_ref().map_or(0, NearEndPath::delay_samples)
    }

    fn push(&mut self, captured: &[f32], latency: Duration, now: Duration) {
        match &mut self.path {
            Some(path) => path.process(captured, latency, now, &mut self.held),
            None => self.held.extend_from_slice(captured),
        }
        let old = self
            .held
            .len()
            .saturating_sub(MOST_HELD.max(captured.len()));
        self.held.drain(..old);
        self.first += old as i64;
    }

    /// Appends what it has from sample `from` on, and returns which sample comes next.
    fn take(&mut self, from: i64, output: &mut Vec<f32>) -> i64 {
        let skip = (from - self.first).clamp(0, self.held.len() as i64);
        output.extend_from_slice(&self.held[skip as usize..]);
        self.first += self.held.len() as i64;
        self.held.clear();
        self.first.max(from)
    }

    /// The next sample that goes in is the one after `captured`.
    fn forget(&mut self, captured: i64) {
        if let Some(path) = &mut self.path {
            path.forget();
        }
        self.held.clear();
        self.first = captured - self.delay() as i64;
    }
}

/// Where the microphone pauses.
#[derive(Default)]
struct PauseDetector {
    power: f32,
    loudest: f32,
}

impl PauseDetector {
    fn push(&mut self, samples: &[f32]) {
        for sample in samples {
            self.power += (sample * sample - self.power) / LEVEL_SAMPLES;
            self.loudest -= self.loudest / LOUDEST_SAMPLES;
            self.loudest = self.loudest.max(self.power);
        }
    }

    fn is_pause(&self) -> bool {
        self.power < SILENCE.max(PAUSE * self.loudest)
    }
}

/// Where one way takes over from the other there may be a step in the sound.
#[derive(Default)]
struct Step {
    last: f32,
    begins: bool,
    height: f32,
    left: usize,
}

impl Step {
    fn begin(&mut self) {
        self.begins = true;
    }

    fn smooth(&mut self, samples: &mut [f32]) {
        for sample in samples {
            if std::mem::take(&mut self.begins) {
                self.height = self.last - *sample;
                self.left = SMOOTHED;
            }
            *sample += self.height * self.left as f32 / SMOOTHED as f32;
            self.left = self.left.saturating_sub(1);
            self.last = *sample;
        }
    }
}

#[cfg(test)]
mod tests;
