//! Where the time goes between the mouth and the ear: one figure for each stage that sound passes.
//!
//! Pure values. The stages of a chunk are filled in on its way: those of the near end when it is
//! made, uplink, server and downlink when its answer arrives, the rest when it is played.

/// Time spent in each stage, in microseconds, by the sound that is heard at one moment. The sum is
/// the mouth-to-ear delay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages {
    /// From the microphone until we read it: the device's latency and our ring.
    pub capture_device: u32,
    /// Until a chunk is full.
    pub framing: u32,
    /// Effects, here and on the server, and the server's own framing.
    pub processing: u32,
    /// The look-ahead of both encoders.
    pub codec: u32,
    /// From the engine, through the queue and over the line, to the server.
    pub uplink: u32,
    /// Waiting and work at the server.
    pub server: u32,
    /// From the server to the engine.
    pub downlink: u32,
    /// In the jitter buffer, until handed to the speaker.
    pub jitter_buffer: u32,
    /// The delay of the resamplers, on the way out and on the way in.
    pub resampler: u32,
    /// Our ring and the device's latency, until the ear.
    pub playback_device: u32,
}

impl Stages {
    /// How many there are.
    pub const COUNT: usize = 10;

    /// Their names, in the order in which sound passes them.
    pub const NAMES: [&'static str; Self::COUNT] = [
        "capture_device",
        "framing",
        "processing",
        "codec",
        "uplink",
        "server",
        "downlink",
        "jitter_buffer",
        "resampler",
        "playback_device",
    ];

    /// All of them: mouth to ear, or as far as the sound has come.
    pub fn total(&self) -> u32 {
        self.array()
            .iter()
            .fold(0, |sum, &us| u32::saturating_add(sum, us))
    }

    /// Each by name, in milliseconds, in the order in which sound passes them.
    pub fn words(&self) -> String {
        let stages: Vec<String> = Self::NAMES
            .into_iter()
            .zip(self.array())
            .map(|(name, us)| format!("{} {:.1}", name.replace('_', " "), f64::from(us) / 1e3))
            .collect();
        stages.join(", ")
    }

    /// In the order in which sound passes them.
    pub fn array(&self) -> [u32; Self::COUNT] {
        [
            self.capture_device,
            self.framing,
            self.processing,
            self.codec,
            self.uplink,
            self.server,
            self.downlink,
            self.jitter_buffer,
            self.resampler,
            self.playback_device,
        ]
    }

    /// The reverse of [`Stages::array`].
    pub fn from_array(us: [u32; Self::COUNT]) -> Self {
        let [
            capture_device,
            framing,
            processing,
            codec,
            uplink,
            server,
            downlink,
            jitter_buffer,
            resampler,
            playback_device,
        ] = us;
        Self {
            capture_device,
            framing,
            processing,
            codec,
            uplink,
            server,
            downlink,
            jitter_buffer,
            resampler,
            playback_device,
        }
    }
}

/// What is known of the way of a chunk of ours that came back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    /// The stages of the chunk that it answers, at our hand-over.
    pub sent: Stages,
    /// From our hand-over to its arrival, less what the far end held it: measured on our clock.
    pub under_way_us: u32,
    /// How long the far end held it.
    pub residence_us: u32,
    /// What the far end adds in media time.
    pub processing_us: u32,
    /// Of that, the look-ahead of its encoder, as far as it encodes.
    pub lookahead_us: u32,
    /// The age of its sound at the far end's hand-over, as the far end reckons it: tells the way
    /// there from the way back, and nothing else.
    pub age_us: u32,
}

impl Answer {
    /// The stages at its arrival.
    pub fn stages(&self) -> Stages {
        let known = [self.sent.total(), self.residence_us, self.processing_us];
        let uplink = known
            .into_iter()
            .fold(self.age_us, u32::saturating_sub)
            .min(self.under_way_us);
        let lookahead = self.lookahead_us.min(self.processing_us);
        let mut stages = self.sent;
        stages.codec += lookahead;
        stages.processing += self.processing_us - lookahead;
        stages.uplink += uplink;
        stages.server += self.residence_us;
        stages.downlink += self.under_way_us - uplink;
        stages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Stages {
        Stages {
            capture_device: 4_000,
            framing: 10_000,
            codec: 2_500,
            uplink: 300,
            ..Stages::default()
        }
    }

    fn answer(age_us: u32) -> Answer {
        Answer {
            sent: sent(),
            under_way_us: 13_000,
            residence_us: 200,
            processing_us: 13_000,
            lookahead_us: 2_500,
            age_us,
        }
    }

    #[test]
    fn an_answer_is_split_into_its_stages_and_none_is_counted_twice() {
        // 16.8 ms at hand-over, 7 ms of way, 0.2 held, 13 of processing.
        let stages = answer(37_000).stages();
        assert_eq!(stages.uplink, 300 + 7_000);
        assert_eq!((stages.server, stages.downlink), (200, 6_000));
        assert_eq!((stages.codec, stages.processing), (5_000, 10_500));
        assert_eq!((stages.capture_device, stages.framing), (4_000, 10_000));
        assert_eq!(stages.total(), 43_000);
    }

    #[test]
    fn a_far_end_that_is_wrong_about_the_way_changes_no_sum() {
        for age_us in [1, 5_000, 16_800, 30_000, 50_000, 2_000_000, u32::MAX] {
            assert_eq!(answer(age_us).stages().total(), 43_000, "{age_us}");
        }
        let no_chain = Answer {
            processing_us: 0,
            ..answer(20_000)
        };
        assert_eq!(no_chain.stages().codec, 2_500);
    }

    #[test]
    fn stages_keep_their_order() {
        let array = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        assert_eq!(Stages::from_array(array).array(), array);
        assert_eq!(Stages::from_array(array).total(), 55);
        assert_eq!(Stages::from_array([u32::MAX; 10]).total(), u32::MAX);
    }
}
