//! A stream of a PulseAudio server: a connection, and a thread that reads it and hands the sound on.

use std::ffi::CString;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use pulseaudio::protocol::stream::{BufferAttr, StreamFlags};
use pulseaudio::protocol::{
    ChannelMap, Command, CreatePlaybackStreamReply, CreateRecordStreamReply, DESCRIPTOR_SIZE,
    Descriptor, DescriptorFlags, LatencyParams, PlaybackLatency, PlaybackStreamParams, Prop, Props,
    ProtocolError, RecordLatency, RecordStreamParams, SampleFormat, SampleSpec, encode_descriptor,
};

use super::connection::{Closer, Connection, Message};
use super::timing::{Report, Timing};
use crate::device::Direction;

const BYTES: usize = size_of::<f32>();
/// Samples of all channels that are handed over at a time.
const BLOCK: usize = 8_192;

/// What to open.
#[derive(Debug, Clone)]
pub(in crate::device) struct PulseConfig {
    pub(in crate::device) direction: Direction,
    /// The server's name of the source or sink.
    pub(in crate::device) device: String,
    pub(in crate::device) rate_hz: u32,
    /// 1 or 2.
    pub(in crate::device) channels: u16,
    /// Samples per channel that are asked for or delivered at a time.
    pub(in crate::device) step: u32,
}

/// Takes or fills some interleaved samples, on the stream's thread. The time is that between this
/// call and the device's edge for the first of them; zero while it is not known.
type Process = Box<dyn FnMut(&mut [f32], Duration) + Send>;

/// A stream that plays or records until it is dropped. Dropping it never waits.
pub(in crate::device) struct PulseStream(Closer);

impl Drop for PulseStream {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl PulseStream {
    /// Opens a stream that runs. `on_end` is called when it ends, by itself or because it was
    /// dropped. May take two seconds.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(in crate::device) fn open(
        config: &PulseConfig,
        process: Process,
        on_end: Box<dyn Fn() + Send>,
    ) -> Result<Self, String> {
        let connection = Connection::open()?;
        let failed = |error: ProtocolError| error.to_string();
        let closer = connection.closer().map_err(|error| error.to_string())?;
        let mut stream = Running::create(connection, config, process).map_err(failed)?;
        thread::Builder::new()
            .name("pulse".to_owned())
            .spawn(move || {
                if let Err(error) = stream.run() {
                    tracing::debug!("a stream of PulseAudio ended: {error}");
                }
                on_end();
            })
            .map_err(|error| error.to_string())?;
        Ok(Self(closer))
    }
}

/// What the stream's thread owns.
struct Running {
    connection: Connection,
    direction: Direction,
    channel: u32,
    process: Process,
    timing: Timing,
    epoch: Instant,
    /// Bytes of sound received or sent until now.
    bytes: u64,
    samples: Vec<f32>,
    message: Vec<u8>,
}

impl Running {
    fn create(
        mut connection: Connection,
        config: &PulseConfig,
        process: Process,
    ) -> Result<Self, ProtocolError> {
        let (channel, requested) = match config.direction {
            Direction::Input => (create_record(&mut connection, config)?, 0),
            Direction::Output => create_playback(&mut connection, config)?,
        };
        // From here on it is read whenever something comes, which may be never.
        connection.limit(None)?;
        let bytes_per_s = config.rate_hz * u32::from(config.channels) * BYTES as u32;
        let mut this = Self {
            connection,
            direction: config.direction,
            channel,
            process,
            timing: Timing::new(bytes_per_s),
            epoch: Instant::now(),
            bytes: 0,
            samples: vec![0.0; BLOCK],
            message: Vec::with_capacity(DESCRIPTOR_SIZE + BLOCK * BYTES),
        };
        this.play(requested as usize)?;
        Ok(this)
    }

    fn run(&mut self) -> Result<(), ProtocolError> {
        loop {
            match self.connection.receive()? {
                Message::Sound => self.capture(),
                Message::Event(Command::Request(request)) => self.play(request.length as usize)?,
                Message::Event(
                    Command::PlaybackStreamKilled(_) | Command::RecordStreamKilled(_),
                ) => return Ok(()),
                Message::Reply { number, at } => self.note_latency(number, at)?,
                Message::Event(_) | Message::Other => {}
            }
            self.ask_for_latency()?;
        }
    }

    fn capture(&mut self) {
        let now = self.epoch.elapsed();
        for block in self.connection.received().chunks(BLOCK * BYTES) {
            let latency = self.timing.distance(self.bytes, now).unwrap_or_default();
            let samples = &mut self.samples[..block.len() / BYTES];
            for (sample, bytes) in samples.iter_mut().zip(block.as_chunks::<BYTES>().0) {
                *sample = f32::from_le_bytes(*bytes);
            }
            (self.process)(samples, latency);
            self.bytes += block.len() as u64;
        }
    }

    fn play(&mut self, mut requested: usize) -> Result<(), ProtocolError> {
        while requested >= BYTES {
            let now = self.epoch.elapsed();
            let latency = self.timing.distance(self.bytes, now).unwrap_or_default();
            let samples = &mut self.samples[..(requested / BYTES).min(BLOCK)];
            (self.process)(samples, latency);
            let length = samples.len() * BYTES;
            self.message.resize(DESCRIPTOR_SIZE, 0);
            let descriptor = Descriptor {
                length: length as u32,
                channel: self.channel,
                offset: 0,
                flags: DescriptorFlags::empty(),
            };
            if let Some(header) = self.message.first_chunk_mut() {
                encode_descriptor(header, &descriptor);
            }
            let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
            self.message.extend(bytes);
            self.connection.write(&self.message)?;
            self.bytes += length as u64;
            requested -= length;
        }
        Ok(())
    }

    fn ask_for_latency(&mut self) -> Result<(), ProtocolError> {
        let now = self.epoch.elapsed();
        if !self.timing.is_due(now) {
            return Ok(());
        }
        let question = LatencyParams {
            channel: self.channel,
            now: SystemTime::now(),
        };
        let number = self.connection.send(&match self.direction {
            Direction::Input => Command::GetRecordLatency(question),
            Direction::Output => Command::GetPlaybackLatency(question),
        })?;
        self.timing.asked(number, now, self.bytes);
        Ok(())
    }

    fn note_latency(&mut self, number: u32, at: usize) -> Result<(), ProtocolError> {
        let Some((sent, bytes)) = self.timing.answered(number) else {
            return Ok(());
        };
        let now = self.epoch.elapsed();
        // The server answered somewhere between question and answer.
        let then = sent + (now - sent) / 2;
        match self.direction {
            Direction::Input => {
                let answer: RecordLatency = self.connection.reply(at)?;
                let report = report(answer.source_usec, answer.write_offset, answer.read_offset);
                // What the server sent before its answer is here before it.
                self.timing.captured(report, then, self.bytes);
            }
            Direction::Output => {
                let answer: PlaybackLatency = self.connection.reply(at)?;
                let report = report(answer.sink_usec, answer.write_offset, answer.read_offset);
                self.timing.played(report, then, bytes);
            }
        }
        Ok(())
    }
}

fn report(device_us: u64, write_offset: i64, read_offset: i64) -> Report {
    Report {
        device: Duration::from_micros(device_us),
        queued_bytes: (write_offset - read_offset).max(0),
    }
}

fn create_record(connection: &mut Connection, config: &PulseConfig) -> Result<u32, ProtocolError> {
    let params = RecordStreamParams {
        sample_spec: sample_spec(config),
        channel_map: channel_map(config),
        source_name: CString::new(config.device.as_str()).ok(),
        buffer_attr: BufferAttr {
            fragment_size: step_bytes(config),
            ..BufferAttr::default()
        },
        flags: flags(),
        props: props(),
        ..RecordStreamParams::default()
    };
    let reply: CreateRecordStreamReply =
        connection.request(&Command::CreateRecordStream(params))?;
    Ok(reply.channel)
}

/// The channel, and how many bytes the server wants to begin with.
fn create_playback(
    connection: &mut Connection,
    config: &PulseConfig,
) -> Result<(u32, u32), ProtocolError> {
    let step = step_bytes(config);
    let params = PlaybackStreamParams {
        sample_spec: sample_spec(config),
        channel_map: channel_map(config),
        sink_name: CString::new(config.device.as_str()).ok(),
        // A server gives its device half of what is more than two requests: blocks of half a step.
        buffer_attr: BufferAttr {
            target_length: 3 * step,
            minimum_request_length: step,
            ..BufferAttr::default()
        },
        flags: flags(),
        props: props(),
        ..PlaybackStreamParams::default()
    };
    let reply: CreatePlaybackStreamReply =
        connection.request(&Command::CreatePlaybackStream(params))?;
    Ok((reply.channel, reply.requested_bytes))
}

fn step_bytes(config: &PulseConfig) -> u32 {
    config.step * u32::from(config.channels) * BYTES as u32
}

fn sample_spec(config: &PulseConfig) -> SampleSpec {
    SampleSpec {
        format: SampleFormat::Float32Le,
        channels: config.channels as u8,
        sample_rate: config.rate_hz,
    }
}

fn channel_map(config: &PulseConfig) -> ChannelMap {
    match config.channels {
        1 => ChannelMap::mono(),
        _ => ChannelMap::stereo(),
    }
}

fn flags() -> StreamFlags {
    StreamFlags {
        // The buffers asked for are those of the whole way, device included.
        adjust_latency: true,
        ..StreamFlags::default()
    }
}

fn props() -> Props {
    let mut props = Props::new();
    props.set(Prop::MediaName, c"call");
    props.set(Prop::MediaRole, c"phone");
    props
}
