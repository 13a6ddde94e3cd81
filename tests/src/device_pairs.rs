//! Two microphones and two speakers on one virtual cable, to be plugged in, made the default, and
//! pulled out while a program uses them.

use std::{
    fs,
    process::{Child, Stdio},
};

use crate::{
    Tape,
    rig::{RATE, Rig},
    signals::tone,
};

/// The cable's channels on the tape.
const CHANNELS: usize = 5;
const MARK: usize = 0;
const FEEDS: [usize; 2] = [1, 2];

/// Frequency of the tone that marks a moment on the tape.
const MARK_HZ: f32 = 3_000.0;

/// Frequency of what goes into a device of this pair's microphone.
pub const FEED_HZ: [f32; 2] = [500.0, 1_000.0];

/// The tape's channels with what comes out of the speakers.
pub const SPEAKERS: [usize; 2] = [3, 4];

/// Names of the two speakers.
pub const SINKS: [&str; 2] = ["loudspeaker", "headphones"];

/// Names of the two microphones.
pub const SOURCES: [&str; 2] = ["builtin", "headset"];

/// The devices of a rig. The first pair is the default to begin with.
pub struct DevicePairs<'a> {
    rig: &'a Rig,
    feed: Option<Child>,
}

impl<'a> DevicePairs<'a> {
    /// Plugs both pairs in.
    pub fn new(rig: &'a Rig) -> Self {
        let channels = format!("channels={CHANNELS}");
        rig.pactl(&[
            "load-module",
            "module-null-sink",
            "sink_name=pairs",
            &format!("rate={RATE}"),
            "format=float32le",
            &channels,
            "channel_map=aux0,aux1,aux2,aux3,aux4",
            "norewinds=1",
        ]);
        let pairs = Self { rig, feed: None };
        pairs.plug_in_sink("marker", MARK);
        let mark = rig.dir().join("mark.wav");
        write_mark(&mark);
        rig.pactl(&["upload-sample", &mark.to_string_lossy(), "mark"]);
        for pair in 0..2 {
            pairs.plug_in(pair);
        }
        pairs.make_default(0);
        pairs
    }

    /// Plugs the speaker and the microphone of a pair in.
    pub fn plug_in(&self, pair: usize) {
        self.plug_in_sink(SINKS[pair], SPEAKERS[pair]);
        self.rig.pactl(&[
            "load-module",
            "module-remap-source",
            &format!("source_name={}", SOURCES[pair]),
            "master=pairs.monitor",
            "remix=no",
            "channels=1",
            "channel_map=mono",
            &format!("master_channel_map=aux{}", FEEDS[pair]),
        ]);
    }

    fn plug_in_sink(&self, name: &str, channel: usize) {
        self.rig.pactl(&[
            "load-module",
            "module-remap-sink",
            &format!("sink_name={name}"),
            "master=pairs",
            "remix=no",
            "channels=1",
            "channel_map=mono",
            &format!("master_channel_map=aux{channel}"),
        ]);
    }

    /// Pulls both devices of a pair out.
    pub fn pull_out(&self, pair: usize) {
        let modules = self.rig.pactl(&["list", "short", "modules"]);
        for name in [
            format!("sink_name={}", SINKS[pair]),
            format!("source_name={}", SOURCES[pair]),
        ] {
            let line = modules.lines().find(|line| {
                let mut words = line.split_whitespace();
                words.any(|word| word == name)
            });
            let module = line.and_then(|line| line.split_whitespace().next());
            let module = module.unwrap_or_else(|| panic!("no {name} in\n{modules}"));
            self.rig.pactl(&["unload-module", module]);
        }
    }

    /// Makes a pair the system's default.
    pub fn make_default(&self, pair: usize) {
        self.rig.pactl(&["set-default-sink", SINKS[pair]]);
        self.rig.pactl(&["set-default-source", SOURCES[pair]]);
    }

    /// Puts the streams of a softphone on devices that are nobody's default, as a person does with
    /// a mixer: from there the server does not take them along when the default moves.
    ///
    /// # Panics
    ///
    /// When there are none: only those of the native PulseAudio host are found.
    pub fn put_streams_aside(&self) {
        for (list, heading, move_it, device) in [
            ("sink-inputs", "Sink Input #", "move-sink-input", "marker"),
            (
                "source-outputs",
                "Source Output #",
                "move-source-output",
                "marker.monitor",
            ),
        ] {
            let streams = self.rig.pactl(&["list", list]);
            let softphone = streams
                .split(heading)
                .find(|stream| stream.contains("application.name = \"softphone"));
            let number = softphone.and_then(|stream| stream.lines().next());
            let number = number.unwrap_or_else(|| panic!("no stream of a softphone in {streams}"));
            self.rig.pactl(&[move_it, number, device]);
        }
    }

    /// Plays a tone of its own ([`FEED_HZ`]) into each microphone, for a minute at most.
    pub fn feed(&mut self) {
        let seconds = 60.0;
        let [first, second] = FEED_HZ.map(|hz| tone(f64::from(hz), seconds, 0.2));
        let bytes: Vec<u8> = first
            .iter()
            .zip(&second)
            .flat_map(|(first, second)| [first, second])
            .flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes())
            .collect();
        let file = self.rig.dir().join("tones.raw");
        fs::write(&file, bytes).expect("the rig's directory can be written to");
        let player = self
            .rig
            .command("pacat")
            .args(["--playback", "--raw", "--device=pairs", "--format=s16le"])
            .args(["--channels=2", "--channel-map=aux1,aux2", "--no-remix"])
            .args(["--latency-msec=1000", &format!("--rate={RATE}")])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .expect("pacat can be started");
        self.feed = Some(player);
    }

    /// Puts a mark on the tape, now.
    pub fn mark(&self) {
        self.rig.pactl(&["play-sample", "mark", "marker"]);
    }

    /// Records the cable.
    pub fn tape(&self) -> Tape {
        Tape::start(self.rig, "pairs.monitor", CHANNELS)
    }
}

impl Drop for DevicePairs<'_> {
    fn drop(&mut self) {
        if let Some(feed) = &mut self.feed {
            // Both fail only for a program that has already ended.
            let _ = feed.kill();
            let _ = feed.wait();
        }
    }
}

/// Where the mark stands on the tape.
pub fn marked(tape: &Tape) -> Option<usize> {
    tape.first(MARK, MARK_HZ, 0)
}

fn write_mark(path: &std::path::Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("the directory can be written to");
    for sample in tone(f64::from(MARK_HZ), 0.05, 0.3) {
        let sample = (sample * 32_767.0) as i16;
        file.write_sample(sample).expect("the disk has space");
    }
    file.finalize().expect("the disk has space");
}
