//! Opens devices: host, device, configuration, stream. All of it runs on threads that may be
//! abandoned, because any call into an audio host may hang.

use std::sync::Arc;

use cpal::traits::{DeviceTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, Host, I24, SampleFormat, U24};

use super::capture::{self, CaptureRing, DeviceMicrophone};
use super::config::{buffer_sizes, configuration};
use super::deadline::{Aside, Outstanding, aside};
use super::found_device::Found;
#[cfg(target_os = "linux")]
use super::open_native;
use super::order::{DeviceRequest, Order};
use super::render::{self, DeviceSpeaker, RenderRing};
use super::running_stream::{Endpoint, Opened};
use super::supervisor::{OPEN_DEADLINE, Supervised, supervise};
use crate::device::callback::{DeviceSample, Health, guarded};
use crate::device::selection::AudioHost;
use crate::device::selection::DeviceSelection;
use crate::device::selection::WearQuery;
use crate::device::selection::find_device;
use crate::device::{DeviceError, DeviceOptions, Direction, Microphone, Speaker, selection::host};

/// A microphone and a speaker.
pub type Devices = (Box<dyn Microphone>, Box<dyn Speaker>);

/// Opens a microphone and a speaker, both at once. Takes at most five seconds.
///
/// # Errors
/// [`DeviceError`], which says what to do; nothing stays open then.
pub fn open(options: &DeviceOptions) -> Result<Devices, DeviceError> {
    let input = Opening::begin(Direction::Input, options, open_input)?;
    let output = Opening::begin(Direction::Output, options, open_output)?;
    let (input, output) = (input.finish(), output.finish());
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
    let opening = Opening::begin(Direction::Input, options, open_input)?;
    Ok(Box::new(DeviceMicrophone(opening.finish()?)))
}

/// Opens a speaker. Takes at most five seconds.
///
/// # Errors
/// [`DeviceError`], which says what to do.
pub fn open_speaker(options: &DeviceOptions) -> Result<Box<dyn Speaker>, DeviceError> {
    let opening = Opening::begin(Direction::Output, options, open_output)?;
    Ok(Box::new(DeviceSpeaker(opening.finish()?)))
}

type Open<R> = fn(&Order) -> Result<Opened<R>, DeviceError>;

/// A device that is being opened for the first time.
struct Opening<R> {
    direction: Direction,
    order: Order,
    open: Open<R>,
    attempt: Aside<Result<Opened<R>, DeviceError>>,
}

impl<R: Endpoint> Opening<R> {
    fn begin(
        direction: Direction,
        options: &DeviceOptions,
        open: Open<R>,
    ) -> Result<Self, DeviceError> {
        let named = match direction {
            Direction::Input => options.input.clone(),
            Direction::Output => options.output.clone(),
        };
        let order = Order {
            host: options.host.clone(),
            device: named.map_or(DeviceRequest::Default, DeviceRequest::Named),
            buffer: options.buffer,
        };
        let ordered = order.clone();
        let attempt = aside("audio-open", &Outstanding::default(), move || {
            open(&ordered)
        })
        .map_err(|error| no_thread(direction, &error))?;
        Ok(Self {
            direction,
            order,
            open,
            attempt,
        })
    }

    fn finish(self) -> Result<Supervised<R>, DeviceError> {
        let direction = self.direction;
        let late = DeviceError::TimedOut {
            direction,
            seconds: OPEN_DEADLINE.as_secs(),
        };
        let opened = self.attempt.wait(OPEN_DEADLINE).unwrap_or(Err(late))?;
        let selection = DeviceSelection::of(opened.ring.stream(), &self.order);
        supervise(direction, selection, opened, self.open)
            .map_err(|error| no_thread(direction, &error))
    }
}

fn no_thread(direction: Direction, error: &std::io::Error) -> DeviceError {
    DeviceError::NoThread {
        direction,
        reason: error.to_string(),
    }
}

/// Calls a function that is generic over the sample type with the one of this format.
macro_rules! with_sample_type {
    ($build:ident, $found:expr) => {
        match $found.format {
            SampleFormat::I8 => $build::<i8>($found),
            SampleFormat::U8 => $build::<u8>($found),
            SampleFormat::I16 => $build::<i16>($found),
            SampleFormat::U16 => $build::<u16>($found),
            SampleFormat::I24 => $build::<I24>($found),
            SampleFormat::U24 => $build::<U24>($found),
            SampleFormat::I32 => $build::<i32>($found),
            SampleFormat::U32 => $build::<u32>($found),
            SampleFormat::F32 => $build::<f32>($found),
            SampleFormat::F64 => $build::<f64>($found),
            format => Err(cpal::Error::with_message(
                ErrorKind::UnsupportedConfig,
                format!("it speaks only {format}"),
            )),
        }
    };
}

fn open_input(order: &Order) -> Result<Opened<CaptureRing>, DeviceError> {
    on_some_host(Direction::Input, order, |found| match found.host {
        #[cfg(target_os = "linux")]
        AudioHost::PipeWire | AudioHost::PulseAudio => open_native::input(found),
        AudioHost::Cpal(_) => with_sample_type!(build_input, found),
    })
}

fn open_output(order: &Order) -> Result<Opened<RenderRing>, DeviceError> {
    on_some_host(Direction::Output, order, |found| match found.host {
        #[cfg(target_os = "linux")]
        AudioHost::PipeWire | AudioHost::PulseAudio => open_native::output(found),
        AudioHost::Cpal(_) => with_sample_type!(build_output, found),
    })
}

/// Tries the hosts in order until one opens the device.
fn on_some_host<R>(
    direction: Direction,
    order: &Order,
    build: impl Fn(&Found) -> Result<Opened<R>, cpal::Error>,
) -> Result<Opened<R>, DeviceError> {
    host::silence();
    let hosts = host::candidates(order.host.as_deref())?;
    let mut errors = Vec::new();
    for &id in &hosts {
        let opened = host::connect(id)
            .and_then(|connected| open_on(&connected, id, direction, order, &build));
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
    if errors.iter().any(is_frozen) {
        let tried = errors.iter().map(reason).collect();
        return Err(DeviceError::Frozen { direction, tried });
    }
    match (order.host.as_ref(), errors.pop()) {
        (Some(_), Some(error)) => Err(error),
        (_, last) => {
            errors.extend(last);
            let tried = errors.iter().map(reason).collect();
            Err(DeviceError::NoAudio { direction, tried })
        }
    }
}

/// Whether a host's server took the connection and did not answer in its own time.
fn is_frozen(error: &DeviceError) -> bool {
    matches!(error, DeviceError::HostUnavailable { reason, .. } if host::is_frozen(reason))
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
    id: AudioHost,
    direction: Direction,
    order: &Order,
    build: impl Fn(&Found) -> Result<Opened<R>, cpal::Error>,
) -> Result<Opened<R>, DeviceError> {
    let host_name = &host::name(id);
    let (device, pin) = find_device(host, host_name, direction, &order.device)?;
    let worn = WearQuery::default()
        .ask(host_name, direction, &pin.id)
        .unwrap_or_default();
    let name = device.to_string();
    let cannot = |error: cpal::Error| {
        let reason = error.to_string().trim_end_matches('.').to_owned();
        match (error.kind(), &order.device) {
            // A default that does not exist: ALSA has one even on a machine without sound.
            (ErrorKind::DeviceNotAvailable, DeviceRequest::Default | DeviceRequest::Fallback) => {
                DeviceError::NoAudio {
                    direction,
                    tried: vec![format!("{host_name}: {reason}")],
                }
            }
            _ => DeviceError::CannotOpen {
                direction,
                device: name.clone(),
                host: host_name.clone(),
                reason,
            },
        }
    };
    let supported = configuration(&device, id, direction).map_err(cannot)?;
    let mut found = Found {
        name: name.clone(),
        pin,
        placement: order.device.placement(),
        worn,
        host: id,
        format: supported.sample_format(),
        config: supported.config(),
        device,
    };
    let mut last = None;
    let sizes = buffer_sizes(
        order.buffer,
        supported.sample_rate(),
        *supported.buffer_size(),
    );
    for samples in sizes {
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

fn build_input<T: DeviceSample>(found: &Found) -> Result<Opened<CaptureRing>, cpal::Error> {
    let health = Health::new();
    let (mut callback, ring) =
        capture::ring(found.stream(Arc::clone(&health)), found.config.channels);
    let stream = found.device.build_input_stream::<T, _, _>(
        found.config,
        move |data, info| guarded(|| callback.on_data(data, info)),
        move |error| guarded(|| health.note_error(error.kind())),
        None,
    )?;
    stream.play()?;
    Ok(Opened {
        stream: Box::new(stream),
        ring,
    })
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
        move |data, info| guarded(|| callback.on_data(data, info)),
        move |error| guarded(|| health.note_error(error.kind())),
        None,
    )?;
    stream.play()?;
    Ok(Opened {
        stream: Box::new(stream),
        ring,
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::device::callback::violations;

    #[test]
    #[ignore = "needs devices: the end-to-end tests run it on virtual ones"]
    fn callbacks_of_real_devices_allocate_nothing() {
        for host in ["pulseaudio", "alsa"] {
            let options = DeviceOptions {
                host: Some(host.to_owned()),
                ..DeviceOptions::default()
            };
            let (mut microphone, mut speaker) = open(&options).unwrap();
            let start = Instant::now();
            let mut samples = Vec::new();
            let called = |stats: crate::device::DeviceStats| stats.callbacks;
            while called(microphone.stats()).min(called(speaker.stats())) < 200 {
                let now = start.elapsed();
                assert!(now < Duration::from_secs(30), "{host} does not call");
                samples.clear();
                microphone.read(now, &mut samples);
                let wanted = speaker.wanted(now) * usize::from(speaker.channels());
                speaker.write(&vec![0.1; wanted]);
                thread::sleep(Duration::from_millis(2)); // the engine's pace
            }
            assert_eq!(violations(), 0, "in callbacks of {host}");
            let stats = speaker.stats();
            assert!(stats.callback_busy_ns > 0);
            assert!(stats.callback_mean_us() * 1e3 <= stats.callback_worst_ns as f64);
        }
    }
}
