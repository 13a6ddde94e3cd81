//! The receiving path from packets to a speaker: whatever the far end sends and whenever, what is played
//! is sound, what waits is bounded, and a line that becomes good is heard again.

use std::time::Duration;

use arbitrary::{Result, Unstructured};
use audio::{Format, Gap, Packet, Playout, RenderPath};

use super::sound::{Payloads, assert_is_sound, format};

/// What waits at most: two seconds, and one packet and what was put in before it.
const MAX_DEPTH_US: u64 = 2_500_000;

/// A resampler may overshoot what it is given.
const MAX_LEVEL: f32 = 2.0;

/// Steps of one input.
const MAX_STEPS: usize = 300;

const GAPS: [Gap; 5] = [Gap::None, Gap::Muted, Gap::Silence, Gap::Late, Gap::Device];

pub(super) fn run(bytes: &[u8]) -> String {
    let mut input = Unstructured::new(bytes);
    let Ok(format) = format(&mut input) else {
        return "no format".to_owned();
    };
    // The filters of unusual pairs of rates take long to set up.
    let speaker_hz = *input.choose(&[48_000, 44_100, 16_000]).unwrap_or(&48_000);
    let mut line = Line {
        format,
        speaker_hz,
        path: RenderPath::new(format, speaker_hz).expect("an accepted format"),
        payloads: Payloads::new(format),
        now: Duration::ZERO,
        media_time: 0,
        heard: [false; 3],
    };
    for _ in 0..MAX_STEPS {
        if input.is_empty() || line.step(&mut input).is_err() {
            break;
        }
    }
    line.becomes_good();
    let stats = line.path.stats();
    format!(
        "{format}, heard {:?}, undecodable {}, late {}",
        line.heard,
        stats.undecodable.next_power_of_two(),
        stats.dropped_late_us.next_power_of_two() >> 16
    )
}

struct Line {
    format: Format,
    speaker_hz: u32,
    path: RenderPath,
    payloads: Payloads,
    now: Duration,
    media_time: u64,
    /// Whether sound, concealment and silence were.
    heard: [bool; 3],
}

impl Line {
    fn step(&mut self, input: &mut Unstructured<'_>) -> Result<()> {
        match input.int_in_range(0..=15)? {
            0..=5 => {
                let payload = self.payloads.next(input)?;
                let media_time = match input.int_in_range(0..=15)? {
                    0 => input.arbitrary()?,
                    1 => self
                        .media_time
                        .saturating_add(input.int_in_range(0..=100_000)?),
                    2 => self
                        .media_time
                        .saturating_sub(input.int_in_range(0..=100_000)?),
                    _ => self.media_time,
                };
                let gap = match input.ratio(1, 8)? {
                    true => *input.choose(&GAPS)?,
                    false => Gap::None,
                };
                self.insert(&payload, media_time, gap);
            }
            6..=11 => {
                let wanted = match input.ratio(1, 16)? {
                    true => input.int_in_range(0..=20_000)?,
                    false => self.speaker_hz as usize / 100,
                };
                self.pull(wanted);
            }
            12 => {
                let longest = if input.ratio(1, 32)? { 100_000 } else { 200 };
                self.now += Duration::from_millis(input.int_in_range(0..=longest)?);
            }
            13 => {
                let ahead = Duration::from_millis(input.int_in_range(0..=2_000)?);
                self.path.set_ahead(ahead);
            }
            14 => self.path.underrun(input.int_in_range(0..=100_000)?),
            _ => self.path.reset(),
        }
        let depth_us = self.path.stats().depth_us;
        assert!(depth_us <= MAX_DEPTH_US, "{depth_us} µs wait");
        Ok(())
    }

    fn insert(&mut self, payload: &[u8], media_time: u64, gap: Gap) {
        let samples = self.format.samples_per_channel(payload).unwrap_or(0) as u64;
        self.media_time = media_time.saturating_add(samples);
        let packet = Packet {
            media_time,
            gap,
            payload,
        };
        self.path.insert(packet, self.now);
    }

    fn pull(&mut self, wanted: usize) -> Playout {
        let mut samples = vec![f32::NAN; wanted * self.format.channels()];
        let playout = self.path.pull(&mut samples, self.now);
        assert_is_sound(&samples, MAX_LEVEL);
        let kinds = [Playout::Sound, Playout::Concealed, Playout::Silence];
        for (heard, kind) in self.heard.iter_mut().zip(kinds) {
            *heard |= playout == kind;
        }
        self.now += Duration::from_secs(1) * wanted as u32 / self.speaker_hz;
        playout
    }

    /// Five seconds of a stream that begins anew and is steady: in the last of them the tone is there.
    fn becomes_good(&mut self) {
        self.path.reset();
        self.path.set_ahead(Duration::ZERO);
        let mut played = 0;
        for n in 0..250 {
            let payload = self.payloads.tone(8);
            let media_time = n * self.format.sample_rate_hz() as u64 / 50;
            self.insert(&payload, media_time, Gap::None);
            for _ in 0..2 {
                let playout = self.pull(self.speaker_hz as usize / 100);
                played += usize::from(n >= 200 && playout == Playout::Sound);
            }
        }
        let depth_us = self.path.stats().depth_us;
        assert!(played >= 95, "{played} of 100 were sound");
        assert!(depth_us < 400_000, "{depth_us} µs wait");
    }
}
