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

/// What the answer to a chunk of ours says about its way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answer {
    /// The age of its sound at the far end's hand-over.
    pub age_us: u32,
    /// The stages of the chunk that it answers, at our hand-over; all 0 where it answers none.
    pub sent: Stages,
    /// How long the far end held it.
    pub residence_us: u32,
    /// What the far end adds in media time.
    pub processing_us: u32,
    /// Of that, the look-ahead of its encoder, as far as it encodes.
    pub lookahead_us: u32,
    /// The way back.
    pub downlink_us: u32,
}

impl Answer {
    /// The stages at its arrival, which add up to its age and the way back: the age is what the far
    /// end says, and what nothing else explains is the way there.
    pub fn stages(&self) -> Stages {
        let mut rest = self.age_us;
        let mut take = |us: u32| {
            let part = us.min(rest);
            rest -= part;
            part
        };
        let mut stages = Stages::from_array(self.sent.array().map(&mut take));
        stages.server += take(self.residence_us);
        let lookahead = self.lookahead_us.min(self.processing_us);
        stages.codec += take(lookahead);
        stages.processing += take(self.processing_us - lookahead);
        stages.uplink += rest;
        stages.downlink = self.downlink_us;
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

    #[test]
    fn an_answer_is_split_into_its_stages_and_none_is_counted_twice() {
        let answer = Answer {
            // 16.8 ms at hand-over, 7 ms of way, 0.2 held, 13 of processing.
            age_us: 37_000,
            sent: sent(),
            residence_us: 200,
            processing_us: 13_000,
            lookahead_us: 2_500,
            downlink_us: 6_000,
        };
        let stages = answer.stages();
        assert_eq!(stages.uplink, 300 + 7_000);
        assert_eq!((stages.server, stages.downlink), (200, 6_000));
        assert_eq!((stages.codec, stages.processing), (5_000, 10_500));
        assert_eq!((stages.capture_device, stages.framing), (4_000, 10_000));
        assert_eq!(stages.total(), 43_000);
    }

    #[test]
    fn the_sum_is_what_the_far_end_says_whatever_it_says() {
        for age_us in [
            0,
            1,
            5_000,
            16_800,
            20_000,
            37_000,
            2_000_000,
            u32::MAX - 6_000,
        ] {
            for sent in [Stages::default(), sent()] {
                let answer = Answer {
                    age_us,
                    sent,
                    residence_us: 200,
                    processing_us: 1_000,
                    lookahead_us: 2_500,
                    downlink_us: 6_000,
                };
                assert_eq!(answer.stages().total(), age_us + 6_000);
            }
        }
    }

    #[test]
    fn stages_keep_their_order() {
        let array = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        assert_eq!(Stages::from_array(array).array(), array);
        assert_eq!(Stages::from_array(array).total(), 55);
        assert_eq!(Stages::from_array([u32::MAX; 10]).total(), u32::MAX);
    }
}
