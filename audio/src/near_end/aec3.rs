//! WebRTC's echo canceller AEC3, as the `sonora` library ported it, fed in bands.
//!
//! Runs on the engine thread; it allocates. Used directly, not through `sonora`'s audio processing,
//! which offers no way to switch its transparent mode off: a canceller that finds nothing for two
//! seconds then concludes that there is no echo and lets everything through. In a call that returns
//! one's own voice it may find nothing because the loop already howls.

use sonora::three_band_filter_bank::{NUM_BANDS, ThreeBandFilterBank};
use sonora_aec3::{
    block::Block, block_processor::BlockProcessor, common::BLOCK_SIZE, config::EchoCanceller3Config,
};

use super::echo_canceller::{BAND_SAMPLES, Bands};
use crate::frame::{SAMPLE_RATE_HZ, SAMPLES_PER_CHANNEL};

/// The thresholds of the `sonora` library are those of 16-bit samples.
pub(crate) const FULL_SCALE: f32 = 32_768.0;

/// A frame is two and a half blocks: so many samples of a band wait for the next one.
const BLOCKING_DELAY: usize = BAND_SAMPLES % BLOCK_SIZE;

/// Samples at 48 kHz by which the canceller delays the microphone: by that, and by the overlap of its
/// suppressor.
pub(crate) const DELAY_SAMPLES: usize = (BLOCKING_DELAY + BLOCK_SIZE) * NUM_BANDS;

/// A microphone that reaches this is taken for overdriven.
const CLIPPED: f32 = 0.998;

/// The canceller of one microphone and one loudspeaker, both mono.
pub(crate) struct Aec3 {
    render_bank: ThreeBandFilterBank,
    render: Blocks,
    capture: Blocks,
    processed: [Vec<f32>; NUM_BANDS],
    block: Block,
    processor: BlockProcessor,
}

impl Aec3 {
    pub(crate) fn new() -> Self {
        let mut config = EchoCanceller3Config::default();
        // This alone is what leaves the transparent mode out.
        config.ep_strength.bounded_erl = true;
        Self {
            render_bank: ThreeBandFilterBank::new(),
            render: Blocks::default(),
            capture: Blocks::default(),
            processed: std::array::from_fn(|_| vec![0.0; BLOCKING_DELAY]),
            block: Block::new(NUM_BANDS, 1),
            processor: BlockProcessor::new(&config, SAMPLE_RATE_HZ as usize, 1, 1),
        }
    }

    /// Takes the next 10 ms of the loudspeaker.
    pub(crate) fn render(&mut self, frame: &[f32; SAMPLES_PER_CHANNEL]) {
        let mut bands = [[0.0; BAND_SAMPLES]; NUM_BANDS];
        self.render_bank.analysis(frame, &mut bands);
        self.render.push(&bands);
        while self.render.pop(&mut self.block) {
            self.processor.buffer_render(&self.block);
        }
    }

    /// Removes the echo from the next 10 ms of the microphone. `peak` is the largest magnitude of
    /// the whole band.
    pub(crate) fn capture(&mut self, bands: &mut Bands, peak: f32) {
        self.capture.push(bands);
        while self.capture.pop(&mut self.block) {
            self.processor
                .process_capture(false, peak >= CLIPPED, None, &mut self.block);
            for (band, processed) in self.processed.iter_mut().enumerate() {
                let samples = self.block.view(band, 0);
                processed.extend(samples.iter().map(|sample| sample / FULL_SCALE));
            }
        }
        for (band, processed) in bands.iter_mut().zip(&mut self.processed) {
            band.copy_from_slice(&processed[..BAND_SAMPLES]);
            processed.drain(..BAND_SAMPLES);
        }
    }

    /// How much later than the loudspeaker's frames their echo is found, in milliseconds.
    pub(crate) fn delay_ms(&self) -> Option<u32> {
        u32::try_from(self.processor.get_metrics().delay_ms).ok()
    }
}

/// Frames of bands, cut into blocks of the levels that AEC3 wants.
#[derive(Default)]
struct Blocks {
    bands: [Vec<f32>; NUM_BANDS],
}

impl Blocks {
    fn push(&mut self, frame: &Bands) {
        for (waiting, band) in self.bands.iter_mut().zip(frame) {
            waiting.extend(band.iter().map(|sample| sample * FULL_SCALE));
        }
    }

    /// Moves the oldest block to `block`, if there is a whole one.
    fn pop(&mut self, block: &mut Block) -> bool {
        if self.bands[0].len() < BLOCK_SIZE {
            return false;
        }
        for (band, waiting) in self.bands.iter_mut().enumerate() {
            block
                .view_mut(band, 0)
                .copy_from_slice(&waiting[..BLOCK_SIZE]);
            waiting.drain(..BLOCK_SIZE);
        }
        true
    }
}
