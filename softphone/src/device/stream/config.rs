//! How a device is opened: its own rate and format, few channels, and always a small fixed buffer.

use cpal::traits::DeviceTrait;
use cpal::{Device, SupportedBufferSize, SupportedStreamConfig};

use crate::device::selection::AudioHost;
use crate::device::{BufferRequest, Direction};

/// The rate of PipeWire's graph, unless somebody changed it: a device of another rate is resampled
/// by the graph anyway. And that of a PulseAudio device that does not tell its own.
#[cfg(target_os = "linux")]
const GRAPH_RATE_HZ: u32 = 48_000;

/// How a device of this host is opened.
///
/// # Errors
/// The device is gone, or has a sample format that cpal does not know.
pub(crate) fn configuration(
    device: &Device,
    host: AudioHost,
    direction: Direction,
) -> Result<SupportedStreamConfig, cpal::Error> {
    let offered = offered(device, direction);
    match host {
        #[cfg(target_os = "linux")]
        AudioHost::PipeWire => Ok(converted(offered.ok(), Some(GRAPH_RATE_HZ))),
        #[cfg(target_os = "linux")]
        AudioHost::PulseAudio => Ok(converted(offered.ok(), None)),
        AudioHost::Cpal(_) => offered,
    }
}

/// A stream whose samples the sound server converts: so a device of any sample format will do.
#[cfg(target_os = "linux")]
fn converted(
    offered: Option<SupportedStreamConfig>,
    rate_hz: Option<u32>,
) -> SupportedStreamConfig {
    let (channels, device_rate_hz) = offered.map_or((2, GRAPH_RATE_HZ), |offered| {
        (offered.channels().min(2), offered.sample_rate())
    });
    SupportedStreamConfig::new(
        channels,
        rate_hz.unwrap_or(device_rate_hz),
        SupportedBufferSize::Unknown,
        cpal::SampleFormat::F32,
    )
}

/// The device's default rate, channels and format; not more than two channels if it has a choice.
fn offered(device: &Device, direction: Direction) -> Result<SupportedStreamConfig, cpal::Error> {
    let default = match direction {
        Direction::Input => device.default_input_config()?,
        Direction::Output => device.default_output_config()?,
    };
    if default.channels() <= 2 {
        return Ok(default);
    }
    let ranges: Vec<_> = match direction {
        Direction::Input => device.supported_input_configs()?.collect(),
        Direction::Output => device.supported_output_configs()?.collect(),
    };
    let narrow = ranges
        .into_iter()
        .filter(|range| range.channels() <= 2 && range.sample_format() == default.sample_format())
        .max_by_key(|range| range.channels())
        .and_then(|range| range.try_with_sample_rate(default.sample_rate()));
    Ok(narrow.unwrap_or(default))
}

/// No device is asked for more at a time: some five seconds.
const MAX_BUFFER: u64 = 1 << 18;

/// Fixed sizes to try, best first; never the host's default, which may be two seconds.
pub(crate) fn buffer_sizes(
    wish: BufferRequest,
    rate_hz: u32,
    range: SupportedBufferSize,
) -> Vec<u32> {
    let wished = match wish {
        BufferRequest::Time(time) => {
            let samples = time.as_micros().saturating_mul(u128::from(rate_hz)) / 1_000_000;
            u64::try_from(samples).unwrap_or(u64::MAX)
        }
        BufferRequest::Samples(samples) => u64::from(samples),
    };
    let wished = wished.clamp(1, MAX_BUFFER) as u32;
    let (least, most) = match range {
        SupportedBufferSize::Range { min, max } if min <= max => (min.max(1), max.max(1)),
        _ => (1, u32::MAX),
    };
    let mut sizes = Vec::new();
    for size in [
        wished,
        wished.next_power_of_two(),
        2 * wished,
        1024,
        2048,
        4096,
    ] {
        let size = size.clamp(least, most);
        if !sizes.contains(&size) {
            sizes.push(size);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_buffer_is_ten_milliseconds_at_the_devices_own_rate() {
        let sizes = buffer_sizes(
            BufferRequest::default(),
            44_100,
            SupportedBufferSize::Unknown,
        );
        assert_eq!(sizes[0], 441);
    }

    #[test]
    fn a_wish_beyond_the_devices_range_is_bent_into_it() {
        let range = SupportedBufferSize::Range {
            min: 600,
            max: 3_000,
        };
        let sizes = buffer_sizes(BufferRequest::Samples(480), 48_000, range);
        assert_eq!(sizes, [600, 960, 1024, 2048, 3_000]);
        let sizes = buffer_sizes(
            BufferRequest::Time(Duration::from_millis(200)),
            48_000,
            range,
        );
        assert!(
            sizes.iter().all(|size| (600..=3_000).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn nonsense_wishes_still_give_sizes() {
        for wish in [
            BufferRequest::Time(Duration::ZERO),
            BufferRequest::Samples(u32::MAX),
            BufferRequest::Time(Duration::MAX),
        ] {
            let sizes = buffer_sizes(wish, 48_000, SupportedBufferSize::Unknown);
            assert!(!sizes.is_empty() && !sizes.contains(&0), "{sizes:?}");
        }
    }
}
