//! The microphone's high-pass, echo canceller and noise suppression, which share one split into three
//! bands.
//!
//! Runs on the engine thread. It allocates, so never in a device callback. The high-pass, the bands
//! and the suppressor are those of WebRTC, ported to Rust by the `sonora` library.

use sonora::{
    high_pass_filter::HighPassFilter,
    three_band_filter_bank::{NUM_BANDS, SPLIT_BAND_SIZE, ThreeBandFilterBank},
};
use sonora_ns::{config::NsConfig, noise_suppressor::NoiseSuppressor};

use super::{
    aec3::{Aec3, FULL_SCALE},
    echo_canceller::{Bands, EchoCanceller},
};
use crate::frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL};

/// What removes the echo.
pub(crate) enum Canceller {
    Aec3(Box<Aec3>),
    Kalman(Box<EchoCanceller>),
}

pub(crate) struct VoiceCleaner {
    /// Below 100 Hz a loudspeaker's echo is all distortion.
    high_pass: HighPassFilter,
    /// One channel of a frame, as the high-pass takes it.
    channels: [Vec<f32>; 1],
    split: ThreeBandFilterBank,
    join: ThreeBandFilterBank,
    canceller: Option<Canceller>,
    suppressor: Option<NoiseSuppressor>,
}

impl VoiceCleaner {
    pub(crate) fn new(canceller: Option<Canceller>, noise_suppression: bool) -> Self {
        Self {
            high_pass: HighPassFilter::new(SAMPLE_RATE_HZ as i32, 1),
            channels: [vec![0.0; SAMPLES_PER_CHANNEL]],
            split: ThreeBandFilterBank::new(),
            join: ThreeBandFilterBank::new(),
            canceller,
            suppressor: noise_suppression
                .then(|| NoiseSuppressor::new_with_bands(NsConfig::default(), NUM_BANDS)),
        }
    }

    /// Takes the next 10 ms of the loudspeaker.
    pub(crate) fn render(&mut self, frame: &[f32; SAMPLES_PER_CHANNEL]) {
        match &mut self.canceller {
            Some(Canceller::Aec3(canceller)) => canceller.render(frame),
            Some(Canceller::Kalman(canceller)) => canceller.render(frame),
            None => {}
        }
    }

    /// Processes the next 10 ms of the microphone in place.
    pub(crate) fn capture(&mut self, frame: &mut [f32; SAMPLES_PER_CHANNEL]) {
        let peak = frame.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        self.channels[0].copy_from_slice(frame);
        self.high_pass.process_channels(&mut self.channels);
        frame.copy_from_slice(&self.channels[0]);
        let mut bands = [[0.0; SPLIT_BAND_SIZE]; NUM_BANDS];
        self.split.analysis(frame, &mut bands);
        if let Some(suppressor) = &mut self.suppressor {
            // Before the canceller, whose comfort noise is not the room's.
            suppressor.analyze(&bands[0].map(|x| x * FULL_SCALE));
        }
        match &mut self.canceller {
            Some(Canceller::Aec3(canceller)) => canceller.capture(&mut bands, peak),
            Some(Canceller::Kalman(canceller)) => canceller.capture(&mut bands, peak),
            None => {}
        }
        if let Some(suppressor) = &mut self.suppressor {
            suppress(suppressor, &mut bands);
        }
        self.join.synthesis(&bands, frame);
        for sample in frame {
            *sample = sample.clamp(-1.0, 1.0);
        }
    }

    /// Where the canceller finds the echo: how much later than the reference, in milliseconds.
    pub(crate) fn echo_delay_ms(&self) -> Option<u32> {
        match &self.canceller {
            Some(Canceller::Aec3(canceller)) => canceller.delay_ms(),
            Some(Canceller::Kalman(canceller)) => canceller.delay_ms(),
            None => None,
        }
    }
}

fn suppress(suppressor: &mut NoiseSuppressor, bands: &mut Bands) {
    for sample in bands.as_flattened_mut() {
        *sample *= FULL_SCALE;
    }
    let [low, upper @ ..] = bands;
    suppressor.process(low);
    let gain = suppressor.upper_band_gain();
    for (index, band) in upper.iter_mut().enumerate() {
        suppressor.process_upper_band(band, index, gain);
    }
    for sample in bands.as_flattened_mut() {
        *sample /= FULL_SCALE;
    }
}
