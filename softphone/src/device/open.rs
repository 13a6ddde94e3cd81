//! Opens devices: host, device, configuration, stream. All of it runs on threads that may be
//! abandoned, because any call into an audio host may hang.

use std::sync::Arc;

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{
    BufferSize, Device, ErrorKind, Host, I24, SampleFormat, StreamConfig, SupportedBufferSize,
    SupportedStreamConfig, U24,
};

use super::callback::Health;
use super::capture::{self, CaptureRing, DeviceMicrophone};
use super::deadline::{Aside, Outstanding, aside};
use super::format::DeviceSample;
use super::render::{self, DeviceSpeaker, RenderRing};
use super::supervisor::{Endpoint, OPEN_DEADLINE, Opened, Stream, Supervised, supervise};
use super::{BufferWish, DeviceError, DeviceOptions, Direction, Microphone, Speaker, host, names};

/// A microphone and a speaker.
pub type Devices = (Box<dyn Microphone>, Box<dyn Speaker>);

type Attempt<R> = Aside<Result<Opened<R>, DeviceError>>;

/// Opens a microphone and a speaker, both at once. Takes at most five seconds.
///
/// # Errors
/// [`DeviceError`], which says what to do; nothing stays open then.
pub fn open(options: &DeviceOptions) -> Result<Devices, DeviceError> {
    let input = begin(Direction::Input, options, open_input)?;
    let output = begin(Direction::Output, options, open_output)?;
    let input = finish(Direction::Input, input, options, open_input);
    let output = finish(Direction::Output, output, options, open_output);
    Ok((
        Box::new(DeviceMicrophone(input?)),
        Box::new(DeviceSpeaker(output?)),
    ))
}

/// Opens a microphone. Takes at most five seconds.
///
/// # Errors
/// [`DeviceError`], which says what to do.
pub fn open_microphone(options: &DeviceOptions) -> Result<Box<dyn Microphone>, DeviceError> {
    let attempt = begin(Direction::Input, options, open_input)?;
    let device = finish(Direction::Input, attempt, options, open_input)?;
    Ok(Box::new(DeviceMicrophone(device)))
}

/// Opens a speaker. Takes at most five seconds.
///
/// # Errors
/// [`DeviceError`], which says what to do.
pub fn open_speaker(options: &DeviceOptions) -> Result<Box<dyn Speaker>, DeviceError> {
    let attempt = begin(Direction::Output, options, open_output)?;
    let device = finish(Direction::Output, attempt, options, open_output)?;
    Ok(Box::new(DeviceSpeaker(device)))
}

fn begin<R: Endpoint>(
    direction: Direction,
    options: &DeviceOptions,
    open: fn(&DeviceOptions) -> Result<Opened<R>, DeviceError>,
) -> Result<Attempt<R>, DeviceError> {
    let options = options.clone();
    aside("audio-open", &Outstanding::default(), move || {
        open(&options)
    })
    .map_err(|error| DeviceError::NoThread {
        direction,
        reason: error.to_string(),
    })
}

fn finish<R: Endpoint>(
    direction: Direction,
    attempt: Attempt<R>,
    options: &DeviceOptions,
    open: fn(&DeviceOptions) -> Result<Opened<R>, DeviceError>,
) -> Result<Supervised<R>, DeviceError> {
    let opened = attempt
        .wait(OPEN_DEADLINE)
        .unwrap_or(Err(DeviceError::TimedOut {
            direction,
            seconds: OPEN_DEADLINE.as_secs(),
        }))?;
    let options = options.clone();
    supervise(direction, opened, move || reopen(direction, &options, open)).map_err(|error| {
        DeviceError::NoThread {
            direction,
            reason: error.to_string(),
        }
    })
}

/// The device asked for; if that is gone, the default one: a call goes on without its headset.
fn reopen<R>(
    direction: Direction,
    options: &DeviceOptions,
    open: fn(&DeviceOptions) -> Result<Opened<R>, DeviceError>,
) -> Result<Opened<R>, DeviceError> {
    open(options).or_else(|error| {
        let mut fallback = options.clone();
        let named = match direction {
            Direction::Input => fallback.input.take(),
            Direction::Output => fallback.output.take(),
        };
        match (named, &error) {
            (Some(_), DeviceError::NoSuchDevice { .. }) => open(&fallback),
            _ => Err(error),
        }
    })
}

fn open_input(options: &DeviceOptions) -> Result<Opened<CaptureRing>, DeviceError> {
    on_some_host(
        Direction::Input,
        options,
        options.input.as_deref(),
        |found| match found.format {
            SampleFormat::I8 => build_input::<i8>(found),
            SampleFormat::U8 => build_input::<u8>(found),
            SampleFormat::I16 => build_input::<i16>(found),
            SampleFormat::U16 => build_input::<u16>(found),
            SampleFormat::I24 => build_input::<I24>(found),
            SampleFormat::U24 => build_input::<U24>(found),
            SampleFormat::I32 => build_input::<i32>(found),
            SampleFormat::U32 => build_input::<u32>(found),
            SampleFormat::F32 => build_input::<f32>(found),
            SampleFormat::F64 => build_input::<f64>(found),
            _ => Err(unsupported_format(found.format)),
        },
    )
}

fn open_output(options: &DeviceOptions) -> Result<Opened<RenderRing>, DeviceError> {
    on_some_host(
        Direction::Output,
        options,
        options.output.as_deref(),
        |found| match found.format {
            SampleFormat::I8 => build_output::<i8>(found),
            SampleFormat::U8 => build_output::<u8>(found),
            SampleFormat::I16 => build_output::<i16>(found),
            SampleFormat::U16 => build_output::<u16>(found),
            SampleFormat::I24 => build_output::<I24>(found),
            SampleFormat::U24 => build_output::<U24>(found),
            SampleFormat::I32 => build_output::<i32>(found),
            SampleFormat::U32 => build_output::<u32>(found),
            SampleFormat::F32 => build_output::<f32>(found),
            SampleFormat::F64 => build_output::<f64>(found),
            _ => Err(unsupported_format(found.format)),
        },
    )
}

fn unsupported_format(format: SampleFormat) -> cpal::Error {
    cpal::Error::with_message(
        ErrorKind::UnsupportedConfig,
        format!("it speaks only {format}"),
    )
}

/// A device, and how it is to be opened.
struct Found {
    device: Device,
    name: String,
    host: String,
    format: SampleFormat,
    config: StreamConfig,
}

impl Found {
    fn stream(&self, health: Arc<Health>) -> Stream {
        Stream {
            name: self.name.clone(),
            host: self.host.clone(),
            rate_hz: self.config.sample_rate,
            channels: self.config.channels.min(2),
            health,
        }
    }

    fn step(&self) -> u32 {
        match self.config.buffer_size {
            BufferSize::Fixed(step) => step,
            BufferSize::Default => self.config.sample_rate / 100,
        }
    }
}

/// Tries the hosts in order until one opens the device.
fn on_some_host<R>(
    direction: Direction,
    options: &DeviceOptions,
    wanted: Option<&str>,
    build: impl Fn(&Found) -> Result<Opened<R>, cpal::Error>,
) -> Result<Opened<R>, DeviceError> {
    host::silence();
    let hosts = host::candidates(options.host.as_deref())?;
    let mut errors = Vec::new();
    for &id in &hosts {
        let opened = host::connect(id).and_then(|connected| {
            let name = host::name(id);
            open_on(&connected, &name, direction, wanted, options.buffer, &build)
        });
        match opened {
            Ok(opened) => return Ok(opened),
            Err(error) => errors.push(error),
        }
    }
    // A name that no host knows is the person's to correct; anything else is the machine's.
    let asked = |error: &DeviceError| matches!(error, DeviceError::NoSuchDevice { .. });
    if let Some(error) = errors.iter().find(|error| asked(error)) {
        return Err(error.clone());
    }
    match (options.host.as_ref(), errors.pop()) {
        (Some(_), Some(error)) => Err(error),
        (_, last) => {
            errors.extend(last);
            let tried = errors.iter().map(reason).collect();
            Err(DeviceError::NoAudio { direction, tried })
        }
    }
}

/// What went wrong on a host, without the advice.
fn reason(error: &DeviceError) -> String {
    match error {
        DeviceError::HostUnavailable { host, reason }
        | DeviceError::CannotOpen { host, reason, .. } => format!("{host}: {reason}"),
        DeviceError::NoAudio { tried, .. } => tried.join("; "),
        other => other.to_string(),
    }
}

fn open_on<R>(
    host: &Host,
    host_name: &str,
    direction: Direction,
    wanted: Option<&str>,
    buffer: BufferWish,
    build: impl Fn(&Found) -> Result<Opened<R>, cpal::Error>,
) -> Result<Opened<R>, DeviceError> {
    let device = find_device(host, host_name, direction, wanted)?;
    let name = device.to_string();
    let cannot = |error: cpal::Error| {
        let reason = error.to_string().trim_end_matches('.').to_owned();
        match error.kind() {
            // A default that does not exist: ALSA has one even on a machine without sound.
            ErrorKind::DeviceNotAvailable if wanted.is_none() => DeviceError::NoAudio {
                direction,
                tried: vec![format!("{host_name}: {reason}")],
            },
            _ => DeviceError::CannotOpen {
                direction,
                device: name.clone(),
                host: host_name.to_owned(),
                reason,
            },
        }
    };
    let supported = configuration(&device, direction).map_err(cannot)?;
    let mut found = Found {
        name: name.clone(),
        host: host_name.to_owned(),
        format: supported.sample_format(),
        config: supported.config(),
        device,
    };
    let mut last = None;
    for samples in buffer_sizes(buffer, supported.sample_rate(), *supported.buffer_size()) {
        found.config.buffer_size = BufferSize::Fixed(samples);
        match build(&found) {
            Ok(opened) => return Ok(opened),
            Err(error) => match error.kind() {
                ErrorKind::UnsupportedConfig
                | ErrorKind::InvalidInput
                | ErrorKind::BackendError => last = Some(error),
                _ => return Err(cannot(error)),
            },
        }
    }
    Err(cannot(
        last.unwrap_or_else(|| ErrorKind::UnsupportedConfig.into()),
    ))
}

fn find_device(
    host: &Host,
    host_name: &str,
    direction: Direction,
    wanted: Option<&str>,
) -> Result<Device, DeviceError> {
    let Some(wanted) = wanted else {
        let default = match direction {
            Direction::Input => host.default_input_device(),
            Direction::Output => host.default_output_device(),
        };
        return default.ok_or_else(|| DeviceError::NoAudio {
            direction,
            tried: vec![format!(
                "{host_name}: it has no default {}",
                direction.noun()
            )],
        });
    };
    let mut devices = devices(host, direction).map_err(|error| DeviceError::HostUnavailable {
        host: host_name.to_owned(),
        reason: error.to_string(),
    })?;
    let labels: Vec<_> = devices
        .iter()
        .map(|(id, name, _)| (id.clone(), name.clone()))
        .collect();
    match names::find(&labels, wanted) {
        Ok(index) => Ok(devices.swap_remove(index).2),
        Err(hint) => Err(DeviceError::NoSuchDevice {
            direction,
            wanted: wanted.to_owned(),
            host: host_name.to_owned(),
            hint,
        }),
    }
}

/// All devices of a host with identifier and name.
pub(super) fn devices(
    host: &Host,
    direction: Direction,
) -> Result<Vec<(String, String, Device)>, cpal::Error> {
    let fits = |device: &Device| match direction {
        Direction::Input => device.supports_input(),
        Direction::Output => device.supports_output(),
    };
    let labelled = |device: Device| {
        let name = device.to_string();
        let id = device
            .id()
            .map_or_else(|_| name.clone(), |id| id.id().to_owned());
        (id, name, device)
    };
    Ok(host.devices()?.filter(fits).map(labelled).collect())
}

/// The device's default rate, channels and format; not more than two channels if it has a choice.
pub(super) fn configuration(
    device: &Device,
    direction: Direction,
) -> Result<SupportedStreamConfig, cpal::Error> {
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
const LARGEST_BUFFER: u64 = 1 << 18;

/// Fixed sizes to try, best first; never the host's default, which may be two seconds.
fn buffer_sizes(wish: BufferWish, rate_hz: u32, range: SupportedBufferSize) -> Vec<u32> {
    let wished = match wish {
        BufferWish::Ms(ms) => u64::from(rate_hz) * u64::from(ms) / 1000,
        BufferWish::Samples(samples) => u64::from(samples),
    };
    let wished = wished.clamp(1, LARGEST_BUFFER) as u32;
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

fn build_input<T: DeviceSample>(found: &Found) -> Result<Opened<CaptureRing>, cpal::Error> {
    let health = Health::new();
    let (mut callback, ring) =
        capture::ring(found.stream(Arc::clone(&health)), found.config.channels);
    let stream = found.device.build_input_stream::<T, _, _>(
        found.config,
        move |data, info| callback.on_data(data, info),
        move |error| health.note_error(error.kind()),
        None,
    )?;
    stream.play()?;
    Ok(Opened { stream, ring })
}

fn build_output<T: DeviceSample>(found: &Found) -> Result<Opened<RenderRing>, cpal::Error> {
    let health = Health::new();
    let (mut callback, ring) = render::ring(
        found.stream(Arc::clone(&health)),
        found.config.channels,
        found.step(),
    );
    let stream = found.device.build_output_stream::<T, _, _>(
        found.config,
        move |data, info| callback.on_data(data, info),
        move |error| health.note_error(error.kind()),
        None,
    )?;
    stream.play()?;
    Ok(Opened { stream, ring })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_ten_milliseconds_at_the_devices_own_rate() {
        let sizes = buffer_sizes(BufferWish::default(), 44_100, SupportedBufferSize::Unknown);
        assert_eq!(sizes[0], 441);
    }

    #[test]
    fn a_wish_beyond_the_devices_range_is_bent_into_it() {
        let range = SupportedBufferSize::Range {
            min: 600,
            max: 3_000,
        };
        let sizes = buffer_sizes(BufferWish::Samples(480), 48_000, range);
        assert_eq!(sizes, [600, 960, 1024, 2048, 3_000]);
        let sizes = buffer_sizes(BufferWish::Ms(200), 48_000, range);
        assert!(
            sizes.iter().all(|size| (600..=3_000).contains(size)),
            "{sizes:?}"
        );
    }

    #[test]
    fn nonsense_wishes_still_give_sizes() {
        for wish in [
            BufferWish::Ms(0),
            BufferWish::Samples(u32::MAX),
            BufferWish::Ms(u32::MAX),
        ] {
            let sizes = buffer_sizes(wish, 48_000, SupportedBufferSize::Unknown);
            assert!(!sizes.is_empty() && !sizes.contains(&0), "{sizes:?}");
        }
    }
}
