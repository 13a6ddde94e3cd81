//! Opens what was found as a stream of this program's own: PipeWire's or PulseAudio's.

use std::sync::Arc;
use std::time::Duration;

use cpal::{
    Error, ErrorKind, InputCallbackInfo, InputStreamTimestamp, OutputCallbackInfo,
    OutputStreamTimestamp, StreamInstant,
};

use super::capture::{self, CaptureRing};
use super::found_device::Found;
use super::render::{self, RenderRing};
use super::running_stream::{Opened, Playing};
use crate::device::Direction;
use crate::device::callback::{Health, guarded};
use crate::device::pipewire::{PipeWireStream, StreamConfig};
use crate::device::pulse::{PulseConfig, PulseStream};
use crate::device::selection::AudioHost;

/// A PulseAudio server is asked for no less at a time: 2.5 ms at 48 kHz.
const MIN_PULSE_STEP: u32 = 120;

type Process = Box<dyn FnMut(&mut [f32], Duration) + Send>;

pub(crate) fn input(found: &Found) -> Result<Opened<CaptureRing>, Error> {
    let health = Health::new();
    let channels = found.config.channels;
    let (mut callback, ring) = capture::ring(found.stream(Arc::clone(&health)), channels);
    let process = move |samples: &mut [f32], latency: Duration| {
        guarded(|| {
            // Any time will do: only differences count.
            let timestamp = InputStreamTimestamp {
                callback: StreamInstant::ZERO + latency,
                capture: StreamInstant::ZERO,
            };
            callback.on_data(samples, &InputCallbackInfo::new(timestamp));
        });
    };
    let stream = open(found, Direction::Input, Box::new(process), health)?;
    Ok(Opened { stream, ring })
}

pub(crate) fn output(found: &Found) -> Result<Opened<RenderRing>, Error> {
    let health = Health::new();
    let channels = found.config.channels;
    let stream = found.stream(Arc::clone(&health));
    let (mut callback, ring) = render::ring(stream, channels, step(found));
    let process = move |samples: &mut [f32], latency: Duration| {
        guarded(|| {
            let timestamp = OutputStreamTimestamp {
                callback: StreamInstant::ZERO,
                playback: StreamInstant::ZERO + latency,
            };
            callback.on_data(samples, &OutputCallbackInfo::new(timestamp));
        });
    };
    let stream = open(found, Direction::Output, Box::new(process), health)?;
    Ok(Opened { stream, ring })
}

fn open(
    found: &Found,
    direction: Direction,
    process: Process,
    health: Arc<Health>,
) -> Result<Playing, Error> {
    let on_end = Box::new(move || health.note_error(ErrorKind::StreamInvalidated));
    let (rate_hz, channels) = (found.config.sample_rate, found.config.channels);
    let opened = if found.host == AudioHost::PipeWire {
        let config = StreamConfig {
            direction,
            target: found.pin.id.clone(),
            rate_hz,
            channels,
            period: step(found),
        };
        PipeWireStream::open(&config, process, on_end).map(|stream| Box::new(stream) as Playing)
    } else {
        let config = PulseConfig {
            direction,
            device: found.pin.id.clone(),
            rate_hz,
            channels,
            step: step(found),
        };
        PulseStream::open(&config, process, on_end).map(|stream| Box::new(stream) as Playing)
    };
    opened.map_err(|reason| Error::with_message(ErrorKind::DeviceNotAvailable, reason))
}

/// Samples per channel that the device takes or hands over at a time when so many are wished for.
fn step(found: &Found) -> u32 {
    let wished = found.step().max(1);
    if found.host == AudioHost::PipeWire {
        // Its graph works in powers of two, and takes the longest that is not more.
        1 << wished.ilog2()
    } else {
        (wished / 2).max(MIN_PULSE_STEP)
    }
}
