//! The processing chain: effects in a row, for sound of any rate that comes in chunks of any size.
//!
//! The effects work on 10 ms frames at 48 kHz; this is the one adapter between them and a leg. It
//! gives back exactly as many samples as it gets, in order and later by a constant delay. Pure; runs
//! where the leg runs; allocates nothing once it is warm.

use super::agc::Agc;
use super::delay::Delay;
use super::denoise::Denoise;
use super::effects::{Effect, Effects};
use super::highpass::HighPass;
use super::limiter::Limiter;
use super::resampler::{Resampler, ResamplerError};
use crate::codec::make_finite;
use crate::frame::{Frame, SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL};

/// Effects applied to a stream of interleaved samples.
pub struct Chain {
    channels: usize,
    to_48k: Resampler,
    from_48k: Resampler,
    blocks: Vec<Block>,
    frame: Frame,
    /// At 48 kHz: what does not fill a frame yet.
    unframed: Vec<f32>,
    /// At 48 kHz: frames on their way out.
    processed: Vec<f32>,
    /// At the leg's rate: what is still due.
    ready: Vec<f32>,
    delay_samples: usize,
    inserted_samples: usize,
}

impl Chain {
    /// A chain for sound at `sample_rate_hz` in `channels` (1 or 2), whose chunks are, as a rule,
    /// `first_chunk_samples` per channel long.
    ///
    /// # Errors
    /// There is no resampler between this rate and 48 kHz.
    pub fn new(
        effects: &Effects,
        sample_rate_hz: u32,
        channels: usize,
        first_chunk_samples: usize,
    ) -> Result<Self, ResamplerError> {
        let mut to_48k = Resampler::new(sample_rate_hz, SAMPLE_RATE_HZ, channels)?;
        let from_48k = Resampler::new(SAMPLE_RATE_HZ, sample_rate_hz, channels)?;
        let slack = Slack::new(sample_rate_hz, first_chunk_samples);
        let mut unframed = Vec::new();
        to_48k.process(&vec![0.0; slack.ahead * channels], &mut unframed);
        Ok(Self {
            channels,
            to_48k,
            from_48k,
            blocks: effects
                .iter()
                .map(|effect| Block::new(effect, channels))
                .collect(),
            frame: Frame::silence(channels),
            unframed,
            processed: Vec::new(),
            ready: vec![0.0; slack.behind * channels],
            delay_samples: Self::delay_samples_of(effects, sample_rate_hz, first_chunk_samples),
            inserted_samples: 0,
        })
    }

    /// The delay that a chain of these `effects` will have, in samples at `sample_rate_hz`, without
    /// setting one up.
    pub fn delay_samples_of(
        effects: &Effects,
        sample_rate_hz: u32,
        first_chunk_samples: usize,
    ) -> usize {
        let slack = Slack::new(sample_rate_hz, first_chunk_samples);
        let resampling_us = Resampler::delay_us_between(sample_rate_hz, SAMPLE_RATE_HZ)
            + Resampler::delay_us_between(SAMPLE_RATE_HZ, sample_rate_hz);
        let blocks: usize = effects.iter().map(Effect::delay_samples).sum();
        let seconds = f64::from(resampling_us) / 1e6 + blocks as f64 / f64::from(SAMPLE_RATE_HZ);
        slack.ahead + slack.behind + (seconds * f64::from(sample_rate_hz)).round() as usize
    }

    /// Replaces `samples` (interleaved, at the leg's rate, any whole number per channel) by as many
    /// processed ones. What is not a finite number counts as silence.
    pub fn process(&mut self, samples: &mut Vec<f32>) {
        debug_assert!(samples.len().is_multiple_of(self.channels));
        make_finite(samples);
        self.to_48k.process(samples, &mut self.unframed);
        let frame_len = SAMPLES_PER_CHANNEL * self.channels;
        let mut framed = 0;
        self.processed.clear();
        for piece in self.unframed.chunks_exact(frame_len) {
            self.frame.fill_from_interleaved(piece);
            for block in &mut self.blocks {
                block.process(&mut self.frame);
            }
            self.frame.append_interleaved(&mut self.processed);
            framed += frame_len;
        }
        self.unframed.drain(..framed);
        self.from_48k.process(&self.processed, &mut self.ready);

        let wanted = samples.len();
        let available = wanted.min(self.ready.len());
        samples.clear();
        samples.extend(self.ready.drain(..available));
        if available < wanted {
            // A chunk of a size that the framing was not set up for. The silence makes the delay
            // greater for good, so this happens only until the slack suffices for these sizes too.
            samples.resize(wanted, 0.0);
            self.inserted_samples += (wanted - available) / self.channels;
        }
    }

    /// By how many samples, at the leg's rate, the output lags the input: framing, resampling,
    /// effects, and what had to be inserted.
    pub fn delay_samples(&self) -> usize {
        self.delay_samples + self.inserted_samples
    }

    /// Samples per channel of silence inserted because chunks changed their size.
    pub fn inserted_samples(&self) -> usize {
        self.inserted_samples
    }
}

/// Silence, in samples at the leg's rate, that lets the chain give back each chunk in full although
/// frames and filters hold some of it.
struct Slack {
    /// Before the first resampler, so that a chunk of whole frames fills them at once.
    ahead: usize,
    /// Behind the second.
    behind: usize,
}

impl Slack {
    fn new(sample_rate_hz: u32, chunk_samples: usize) -> Self {
        let frames_per_second = SAMPLE_RATE_HZ / SAMPLES_PER_CHANNEL as u32;
        // Chunks of c and frames of f samples, started together, have between 0 and f − gcd(c, f)
        // samples waiting for a frame to fill. Times 100, as a frame need not be a whole number.
        let chunk = chunk_samples.max(1) as u64 * u64::from(frames_per_second);
        let frame = u64::from(sample_rate_hz);
        let waiting = (frame - gcd(chunk, frame)).div_ceil(u64::from(frames_per_second)) as usize;
        if sample_rate_hz == SAMPLE_RATE_HZ {
            return Self {
                ahead: 0,
                behind: waiting,
            };
        }
        // A resampler keeps two samples of its input, and rounding may keep one of its output.
        let (rate, chain_rate) = (sample_rate_hz as usize, SAMPLE_RATE_HZ as usize);
        Self {
            ahead: 2 + rate.div_ceil(chain_rate),
            behind: waiting + (2 * rate).div_ceil(chain_rate) + 1,
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One effect at work.
enum Block {
    HighPass(HighPass),
    Denoise(Denoise),
    Agc(Agc),
    Limiter(Limiter),
    Delay(Delay),
}

impl Block {
    fn new(effect: Effect, channels: usize) -> Self {
        match effect {
            Effect::HighPass => Self::HighPass(HighPass::new()),
            Effect::Denoise => Self::Denoise(Denoise::new(channels)),
            Effect::Agc => Self::Agc(Agc::new()),
            Effect::Limiter => Self::Limiter(Limiter::new()),
            Effect::Delay { ms } => Self::Delay(Delay::new(ms, channels)),
        }
    }

    fn process(&mut self, frame: &mut Frame) {
        match self {
            Self::HighPass(block) => block.process(frame),
            Self::Denoise(block) => block.process(frame),
            Self::Agc(block) => block.process(frame),
            Self::Limiter(block) => block.process(frame),
            Self::Delay(block) => block.process(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{fit_sine, lag, noise, phase_delay_s, sine, speech_like};

    /// Rates with the chunk sizes that are usual there, and some that are not.
    const CASES: [(u32, usize); 22] = [
        (8_000, 80),
        (8_000, 160),
        (8_000, 37),
        (11_025, 110),
        (12_000, 240),
        (16_000, 320),
        (16_000, 160),
        (22_050, 441),
        (24_000, 60),
        (44_100, 441),
        (44_100, 882),
        (44_100, 440),
        (48_000, 1),
        (48_000, 37),
        (48_000, 120),
        (48_000, 240),
        (48_000, 480),
        (48_000, 960),
        (48_000, 5_760),
        (96_000, 960),
        (192_000, 1_920),
        (191_999, 1_919),
    ];

    fn run(chain: &mut Chain, channels: usize, samples: &[f32], chunk: usize) -> Vec<f32> {
        let (mut output, mut buffer) = (Vec::new(), Vec::new());
        for piece in samples.chunks(chunk * channels) {
            buffer.clear();
            buffer.extend_from_slice(piece);
            chain.process(&mut buffer);
            assert_eq!(buffer.len(), piece.len());
            output.extend_from_slice(&buffer);
        }
        output
    }

    fn chain(effects: &str, rate: u32, channels: usize, chunk: usize) -> Chain {
        Chain::new(&Effects::parse(effects).unwrap(), rate, channels, chunk).unwrap()
    }

    #[test]
    fn the_delay_is_the_one_stated_for_every_rate_and_chunk_size() {
        for (rate, chunk) in CASES {
            for effects in ["none", "agc,limiter", "limiter,limiter"] {
                let mut chain = chain(effects, rate, 1, chunk);
                let stated = chain.delay_samples() as f64;
                // 10 Hz: no delay here reaches its period, so the phase is the delay.
                let input = sine(10.0, 0.5, rate, 2 * rate as usize + 37);
                let output = run(&mut chain, 1, &input, chunk);
                // The last chunk is shorter, and may get some of its samples as silence.
                let heard = &output[rate as usize..output.len() - chunk - 37];
                let measured = f64::from(rate) * phase_delay_s(heard, rate, 10.0, rate);
                let case = format!("{effects} at {rate}/{chunk}");
                let period = f64::from(rate) / 10.0;
                let off = (measured - stated + period / 2.0).rem_euclid(period) - period / 2.0;
                assert!(off.abs() < 1.0, "{case}: {measured}, not {stated}");
                let fit = fit_sine(heard, 10.0, rate);
                assert!(fit.sinad_db > 70.0, "{case}: {fit:?}");
                assert!((fit.level_db - -6.02).abs() < 0.05, "{case}: {fit:?}");
            }
        }
    }

    #[test]
    fn an_impulse_comes_out_where_it_is_due() {
        for (rate, chunk) in CASES {
            let mut chain = chain("limiter", rate, 1, chunk);
            let mut input = vec![0.0; rate as usize / 2];
            input[1_000] = 0.8;
            let output = run(&mut chain, 1, &input, chunk);
            let loudest =
                (0..output.len()).max_by(|&a, &b| output[a].abs().total_cmp(&output[b].abs()));
            let delay = loudest.unwrap() - 1_000;
            // 48 kHz has no room for the impulse of a higher rate: it comes out wider.
            let tolerance = 1 + rate as usize / 48_000;
            assert!(
                delay.abs_diff(chain.delay_samples()) <= tolerance,
                "{rate}/{chunk}: {delay}"
            );
        }
    }

    #[test]
    fn whole_frames_cost_no_framing_delay() {
        for chunk in [480, 960, 5_760] {
            assert_eq!(chain("none", 48_000, 1, chunk).delay_samples(), 0);
            assert_eq!(chain("denoise", 48_000, 1, chunk).delay_samples(), 96);
        }
        assert_eq!(chain("none", 48_000, 1, 240).delay_samples(), 240);
        assert_eq!(chain("none", 48_000, 1, 120).delay_samples(), 360);
        // 0.7 ms a filter, and 0.15 ms for what they hold.
        assert!(chain("none", 44_100, 2, 441).delay_samples() < 75);
    }

    #[test]
    fn equal_chunks_never_run_dry() {
        for (rate, chunk) in CASES {
            for channels in [1, 2] {
                let mut chain = chain("none", rate, channels, chunk);
                let input = noise(0.1, 1, 3 * rate as usize * channels);
                run(&mut chain, channels, &input, chunk);
                assert_eq!(chain.inserted_samples(), 0, "{rate}/{chunk}");
            }
        }
    }

    #[test]
    fn at_48_khz_without_effects_nothing_changes() {
        let input = noise(0.9, 1, 96_000);
        for chunk in [37, 240, 480] {
            let mut chain = chain("none", 48_000, 2, chunk);
            let output = run(&mut chain, 2, &input, chunk);
            let delay = 2 * chain.delay_samples();
            assert!(output[delay..] == input[..input.len() - delay]);
        }
    }

    #[test]
    fn changing_sizes_insert_silence_once_and_say_so() {
        let mut chain = chain("none", 48_000, 1, 480);
        let input = noise(0.5, 1, 96_000);
        let mut output = run(&mut chain, 1, &input[..4_800], 480);
        let mut last_insertion = 0;
        for size in [37, 240, 101, 733].into_iter().cycle() {
            let done = output.len();
            let Some(piece) = input.get(done..done + size) else {
                break;
            };
            let before = chain.inserted_samples();
            output.extend(run(&mut chain, 1, piece, size));
            if chain.inserted_samples() > before {
                last_insertion = output.len();
            }
        }
        let inserted = chain.inserted_samples();
        assert!((1..480).contains(&inserted), "{inserted}");
        assert_eq!(chain.delay_samples(), inserted);
        assert!(last_insertion < 48_000, "{last_insertion}");
        // All came through, in order, late by what was inserted.
        let late = &output[48_000 + inserted..];
        assert!(late == &input[48_000..48_000 + late.len()]);
    }

    #[test]
    fn the_default_chain_passes_speech_on_time() {
        for (rate, chunk) in [(48_000, 480), (48_000, 240), (16_000, 320), (8_000, 160)] {
            let mut to_leg = Resampler::new(48_000, rate, 1).unwrap();
            let mut input = Vec::new();
            to_leg.process(&speech_like(4), &mut input);
            input.truncate(input.len() / chunk * chunk);
            let mut chain = chain(Effects::DEFAULT, rate, 1, chunk);
            let output = run(&mut chain, 1, &input, chunk);
            let delay = lag(&input, &output, rate as usize / 20);
            let stated = chain.delay_samples() as f64;
            // The high-pass moves the pitch by up to a millisecond, backwards.
            let late_ms = (delay - stated) * 1_000.0 / f64::from(rate);
            assert!(
                (-1.0..0.2).contains(&late_ms),
                "{rate}/{chunk}: {delay}, not {stated}"
            );
        }
    }

    #[test]
    fn what_is_no_number_does_not_stay_in_the_filters() {
        for effects in [Effects::DEFAULT, "highpass,delay=1"] {
            let mut chain = chain(effects, 44_100, 2, 441);
            let mut samples = vec![f32::NAN; 882];
            samples[7] = f32::INFINITY;
            samples[8] = -1e30;
            chain.process(&mut samples);
            let mut loudest = 0.0_f32;
            for piece in sine(440.0, 0.3, 88_200, 88_200).chunks_exact(882) {
                samples.clear();
                samples.extend_from_slice(piece);
                chain.process(&mut samples);
                assert!(samples.iter().all(|sample| sample.is_finite()));
                loudest = loudest.max(samples.iter().fold(0.0, |a, b| a.max(b.abs())));
            }
            assert!((0.1..2.0).contains(&loudest), "{effects}: {loudest}");
        }
    }

    #[test]
    fn nothing_grows_once_it_is_warm() {
        let mut chain = chain(Effects::DEFAULT, 44_100, 2, 441);
        let mut samples = vec![0.1; 882];
        let capacities =
            |chain: &Chain| [&chain.unframed, &chain.processed, &chain.ready].map(Vec::capacity);
        for _ in 0..10 {
            chain.process(&mut samples);
        }
        let before = (capacities(&chain), samples.capacity());
        for _ in 0..500 {
            chain.process(&mut samples);
        }
        assert_eq!((capacities(&chain), samples.capacity()), before);
    }
}
