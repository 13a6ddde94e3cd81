//! Music for who waits: four chords, softly plucked, over and over. Generated here, and nobody else's.

use super::{MixingError, OutboundPath};
use crate::{
    Format,
    frame::{Frame, SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL},
};

/// Of each chord, in Hz: C, A minor, F, G, as broken chords of four notes.
const NOTES_HZ: [[f64; 4]; 4] = [
    [261.63, 329.63, 392.00, 523.25],
    [220.00, 261.63, 329.63, 440.00],
    [174.61, 220.00, 261.63, 349.23],
    [196.00, 246.94, 293.66, 392.00],
];

/// A note begins so often, in samples at 48 kHz.
const NOTE_SAMPLES: u64 = 24_000;

/// A note has lost most of itself after so many samples.
const DECAY_SAMPLES: f64 = 20_000.0;

/// And takes so many to begin.
const ATTACK_SAMPLES: f64 = 480.0;

/// Amplitude of a note: two of them sound at once, at some −26 dBFS.
const AMPLITUDE: f64 = 0.06;

/// A listener's music, as packets.
pub struct HoldMusic {
    path: OutboundPath,
    packet_samples: usize,
    position: u64,
    ready: std::collections::VecDeque<Vec<u8>>,
}

impl HoldMusic {
    /// Packets of `packet_samples` per channel in `format`.
    ///
    /// # Errors
    /// The codec or a resampler cannot be set up.
    pub fn new(format: Format, packet_samples: usize) -> Result<Self, MixingError> {
        Ok(Self {
            path: OutboundPath::new(format, packet_samples, 0)?,
            packet_samples,
            position: 0,
            ready: std::collections::VecDeque::new(),
        })
    }

    /// Samples per channel in a packet.
    pub fn packet_samples(&self) -> usize {
        self.packet_samples
    }

    /// Appends the next packet to `payload`.
    ///
    /// # Errors
    /// The codec failed.
    pub fn next_packet(&mut self, payload: &mut Vec<u8>) -> Result<(), MixingError> {
        let channels = self.path.format().channels();
        let ready = loop {
            if let Some(ready) = self.ready.pop_front() {
                break ready;
            }
            let mut frame = Frame::silence(channels);
            for samples in frame.channels_mut() {
                for (sample, position) in samples.iter_mut().zip(self.position..) {
                    *sample = sound_at(position);
                }
            }
            self.position += SAMPLES_PER_CHANNEL as u64;
            let packets = &mut self.ready;
            self.path
                .push(&frame, |packet| packets.push_back(packet.payload.to_vec()))?;
        };
        payload.extend_from_slice(&ready);
        Ok(())
    }
}

/// The music at one sample: the note that began last, and the end of the one before it.
fn sound_at(position: u64) -> f32 {
    let note = position / NOTE_SAMPLES;
    let newest = note_at(note, position);
    let before = note
        .checked_sub(1)
        .map_or(0.0, |note| note_at(note, position));
    (newest + before) as f32
}

fn note_at(note: u64, position: u64) -> f64 {
    let hz = NOTES_HZ[(note / 4 % 4) as usize][(note % 4) as usize];
    let since = (position - note * NOTE_SAMPLES) as f64;
    let attack = (since / ATTACK_SAMPLES).min(1.0);
    // It is silent when it ends, with the beginning of the next but one.
    let end = (2 * NOTE_SAMPLES) as f64;
    let release = ((end - since) / ATTACK_SAMPLES).clamp(0.0, 1.0);
    let phase = std::f64::consts::TAU * hz * since / f64::from(SAMPLE_RATE_HZ);
    let tone = phase.sin() + 0.3 * (2.0 * phase).sin();
    AMPLITUDE * attack * release * (-since / DECAY_SAMPLES).exp() * tone
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Decoder,
        measure::{peak, rms_db},
    };

    #[test]
    fn it_is_soft_never_silent_for_long_and_without_clicks() {
        for (codec, rate, channels) in [("pcm", 48_000, 1), ("opus", 48_000, 2), ("pcmu", 8_000, 1)]
        {
            let format = Format::parse(codec, rate, channels).unwrap();
            let samples = rate as usize / 50;
            let mut music = HoldMusic::new(format, samples).unwrap();
            let mut decoder = Decoder::new(format).unwrap();
            let mut heard = Vec::new();
            for _ in 0..50 * 20 {
                let mut payload = Vec::new();
                music.next_packet(&mut payload).unwrap();
                assert_eq!(format.samples_per_channel(&payload), Ok(samples));
                decoder.decode(&payload, &mut heard).unwrap();
            }
            assert!(peak(&heard) < 0.25, "{format}: {}", peak(&heard));
            for second in heard.chunks_exact(rate as usize * channels as usize) {
                let level = rms_db(second);
                assert!((-45.0..-20.0).contains(&level), "{format}: {level} dB");
            }
            if codec == "pcm" {
                // No step that a tone of 1.2 kHz at its level would not make.
                let steps = heard.windows(2).map(|pair| (pair[1] - pair[0]).abs());
                assert!(steps.fold(0.0, f32::max) < 0.03);
            }
        }
    }
}
