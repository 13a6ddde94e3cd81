//! One call from beginning to end: devices, engine, session and screen put together.

mod running;
pub mod signals;
mod tone_pair;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Duration,
};

use audio::{Codec, Effects, Format};
use proto::callcenter::Alone;
use running::{RunningCall, Said};
use tone_pair::TonePair;

use crate::{
    args::{CallArgs, Sink, Source},
    call::signals::Signals,
    clock::Clock,
    device::{
        self, BufferRequest, DeviceError, DeviceOptions, Microphone, Speaker,
        simulated::{
            virtual_microphone::ToneMicrophone,
            virtual_speaker::{Ear, VirtualSpeaker},
            wav_microphone::WavMicrophone,
        },
    },
    engine::{
        Engine, EngineStatus,
        capture_path::CapturePath,
        echo_control::{EchoControl, EchoMemory},
        engine_thread::EngineThread,
        near_end_choice::EchoChoice,
        playout_path::{Downlink, PlayoutPath},
        uplink::Uplink,
    },
    recording::{Recorder, Recording, RecordingStatus, Worth},
    report::{
        Report,
        verdict::{ExitCode, Expected, Stalled, Verdict, judge_line, judge_tone},
    },
    session::{Session, SessionEnd, SessionOptions, SessionStatus, reachability},
    ui::{PushToTalk, Ui},
};

/// Peaks of the tone.
pub(crate) const TONE_DBFS: f32 = -20.0;

/// How long a synthetic call lasts unless told otherwise.
const SYNTHETIC_DURATION: Duration = Duration::from_secs(5);

/// Ten seconds of the smallest chunks: the engine looks every few milliseconds.
const DOWNLINK_CHUNKS: usize = 2_000;

/// Makes one call as `args` say.
///
/// # Errors
/// The call did not even begin: devices, files or the codec could not be had.
pub async fn call(args: &CallArgs) -> Result<Report, Verdict> {
    call_shown(args, || Ui::new(args.wants_json(), args.json_lines)).await
}

/// The same call without a word on the screen: for a check that only wants the report.
///
/// # Errors
/// As [`call`].
pub async fn call_unseen(args: &CallArgs) -> Result<Report, Verdict> {
    call_shown(args, Ui::unseen).await
}

async fn call_shown(args: &CallArgs, ui: impl FnOnce() -> Ui) -> Result<Report, Verdict> {
    let plan = Plan::new(args)?;
    let devices = open_devices(args).await?;
    let clock = Clock::start();
    let uplink = Arc::new(Uplink::new(clock));
    let (downlink_tx, downlink) = mpsc::sync_channel(DOWNLINK_CHUNKS);
    let (recording, recorder) = start_recording(args)?.unzip();
    let engine = start_engine(
        args,
        &plan,
        devices.ends,
        recorder,
        clock,
        &uplink,
        downlink,
    )?;
    let (session, session_status) = Session::new(
        plan.session_options(args),
        clock,
        Arc::clone(&uplink),
        downlink_tx,
    );

    // Before anybody can know of the call: whoever hangs up at once ends it in order, too.
    let signals = Signals::new();
    let mut running = RunningCall {
        clock,
        duration: plan.duration,
        source_finished: devices.source_finished,
        uplink,
        engine,
        recording,
        sink_file: devices.sink_file,
        session_status,
        session: tokio::spawn(session.run()),
        ui: ui(),
        push_to_talk: PushToTalk::default(),
        signals,
        said: Said::default(),
        tone_pair: devices.tone_pair,
        is_with_others: args.named_call().is_some(),
        decides_on_echo: args.has_real_devices() && args.aec == EchoChoice::Auto,
    };
    running.greet(args, &plan);
    let end = running.run(&args.server).await;
    let report = running
        .report(args, &plan, &end, devices.ear.as_ref())
        .await;
    Ok(report)
}

/// What follows from the command line before anything is opened.
pub(crate) struct Plan {
    call_id: String,
    pub(crate) format: Format,
    pub(crate) effects: Option<Effects>,
    pub(crate) duration: Option<Duration>,
}

impl Plan {
    pub(crate) fn new(args: &CallArgs) -> Result<Self, Verdict> {
        let usage = |why: String| Verdict::new(ExitCode::Usage, why);
        if let Some(fault) = args.bitrate_fault() {
            return Err(usage(fault));
        }
        let rate = match args.codec {
            Codec::Opus | Codec::Pcm => 48_000,
            Codec::Pcmu | Codec::Pcma => 8_000,
        };
        let format =
            Format::parse(args.codec.name(), rate, 1).map_err(|error| usage(error.to_string()))?;
        let unprocessed = (args.synthetic || args.named_call().is_some()).then(Effects::none);
        Ok(Self {
            // Left empty, the server would choose one, and another one for each new stream.
            call_id: args
                .named_call()
                .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned),
            format,
            effects: args.effects.clone().or(unprocessed),
            duration: args
                .duration
                .or(args.synthetic.then_some(SYNTHETIC_DURATION)),
        })
    }

    pub(crate) fn effects_wish(&self) -> String {
        self.effects
            .as_ref()
            .map_or_else(String::new, Effects::to_string)
    }

    fn session_options(&self, args: &CallArgs) -> SessionOptions {
        SessionOptions {
            server: args.server.clone(),
            call_id: self.call_id.clone(),
            format: self.format,
            chunk: args.frame,
            effects: self.effects_wish(),
            display_name: args.name.clone(),
            alone: args.alone(),
        }
    }
}

type Ends = (Box<dyn Microphone>, Box<dyn Speaker>);

struct Devices {
    ends: Ends,
    /// Set when a source that ends has ended.
    source_finished: Option<Arc<AtomicBool>>,
    /// The file that the speaker is, if it is one.
    sink_file: Option<Recording>,
    ear: Option<Ear>,
    tone_pair: Option<TonePair>,
}

/// Opening a device may take seconds, so not on a thread of tokio's.
async fn open_devices(args: &CallArgs) -> Result<Devices, Verdict> {
    let args = args.clone();
    match tokio::task::spawn_blocking(move || open_devices_blocking(&args)).await {
        Ok(devices) => devices,
        Err(error) => Err(Verdict::new(
            ExitCode::NoAudio,
            format!("opening the devices failed: {error}"),
        )),
    }
}

fn open_devices_blocking(args: &CallArgs) -> Result<Devices, Verdict> {
    let options = DeviceOptions {
        host: args.audio_host.clone(),
        input: args.input.clone(),
        output: args.output.clone(),
        // A shorter chunk is wished for by somebody who counts milliseconds.
        buffer: BufferRequest::Time(args.frame.min(Duration::from_millis(10))),
    };
    let usage = |why| Verdict::new(ExitCode::Usage, why);
    if args.synthetic {
        // Another one is waited for, and which tone is ours goes by who came first.
        let is_pair = args.named_call().is_some() && args.alone() != Alone::Echo;
        let (hz, ear) = match is_pair {
            true => (0.0, Ear::for_another()),
            false => (args.tone, Ear::new(args.tone)),
        };
        let microphone = ToneMicrophone::new(hz, TONE_DBFS);
        let pair = || TonePair::new(args.tone, microphone.control(), ear.clone());
        return Ok(Devices {
            tone_pair: is_pair.then(pair),
            ends: (
                Box::new(microphone),
                Box::new(VirtualSpeaker::ear(ear.clone())),
            ),
            source_finished: None,
            sink_file: None,
            ear: Some(ear),
        });
    }
    if (&args.source, &args.sink) == (&Source::Mic, &Sink::Speaker) {
        return Ok(Devices {
            ends: device::open(&options).map_err(device_verdict)?,
            source_finished: None,
            sink_file: None,
            ear: None,
            tone_pair: None,
        });
    }
    let mut source_finished = None;
    let microphone: Box<dyn Microphone> = match &args.source {
        Source::Mic => device::open_microphone(&options).map_err(device_verdict)?,
        Source::Tone => Box::new(ToneMicrophone::new(args.tone, TONE_DBFS)),
        Source::Wav(path) => {
            let wav = WavMicrophone::open(path).map_err(usage)?;
            source_finished = Some(wav.finished());
            Box::new(wav)
        }
    };
    if let (Source::Wav(source), Sink::Wav(sink)) = (&args.source, &args.sink)
        && is_same_file(source, sink)
    {
        return Err(usage(format!(
            "{} cannot be both --source and --sink: the answer would overwrite what is sent",
            source.display()
        )));
    }
    let mut sink_file = None;
    let speaker: Box<dyn Speaker> = match &args.sink {
        Sink::Speaker => device::open_speaker(&options).map_err(device_verdict)?,
        Sink::Null => Box::new(VirtualSpeaker::null()),
        Sink::Wav(path) => {
            let (file, queue) =
                Recording::start(path, 1, true).map_err(|why| usage(format!("--sink: {why}")))?;
            sink_file = Some(file);
            Box::new(VirtualSpeaker::wav(path, queue))
        }
    };
    Ok(Devices {
        ends: (microphone, speaker),
        source_finished,
        sink_file,
        ear: None,
        tone_pair: None,
    })
}

fn device_verdict(error: DeviceError) -> Verdict {
    match error {
        DeviceError::UnknownHost { .. } | DeviceError::NoSuchDevice { .. } => {
            Verdict::new(ExitCode::Usage, error.to_string())
        }
        _ => Verdict::new(
            ExitCode::NoAudio,
            format!("{error}; \"softphone doctor\" finds out why"),
        ),
    }
}

/// Creates the file of `--record`, if there is to be one.
fn start_recording(args: &CallArgs) -> Result<Option<(Recording, Recorder)>, Verdict> {
    let Some(path) = &args.record else {
        return Ok(None);
    };
    let usage = |why| Verdict::new(ExitCode::Usage, why);
    for (flag, other) in [("--source", args.source.wav()), ("--sink", args.sink.wav())] {
        if other.is_some_and(|other| is_same_file(other, path)) {
            let shown = path.display();
            return Err(usage(format!(
                "--record and {flag} cannot both be {shown}: one would overwrite the other"
            )));
        }
    }
    let (recording, queue) =
        Recording::start(path, 2, args.force).map_err(|why| usage(format!("--record: {why}")))?;
    let recorder =
        Recorder::new(queue).map_err(|error| Verdict::new(ExitCode::NoAudio, error.to_string()))?;
    Ok(Some((recording, recorder)))
}

/// Whether both are the same, if they exist.
fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn start_engine(
    args: &CallArgs,
    plan: &Plan,
    (microphone, speaker): Ends,
    recorder: Option<Recorder>,
    clock: Clock,
    uplink: &Arc<Uplink>,
    downlink: mpsc::Receiver<Downlink>,
) -> Result<EngineThread, Verdict> {
    let failed = |why: String| Verdict::new(ExitCode::NoAudio, why);
    let chunk = plan.format.samples_in(args.frame);
    let capture = CapturePath::new(microphone, plan.format, chunk, args.bitrate)
        .map_err(|error| failed(error.to_string()))?;
    let playout = PlayoutPath::new(speaker, plan.format)
        .map_err(|error| failed(error.to_string()))?
        .encoded_at(args.bitrate);
    let echo = EchoControl::new(
        args.near_end(),
        args.has_real_devices(),
        !args.no_tone,
        EchoMemory::load(),
    )
    .map_err(|error| failed(error.to_string()))?;
    let engine = Engine::new(capture, playout, echo).recorded_by(recorder);
    EngineThread::start(engine, clock, Arc::clone(uplink), downlink)
        .map_err(|error| failed(format!("no thread for the audio engine: {error}")))
}

/// What a file of the call is worth.
fn worth(session: &SessionStatus) -> Worth {
    match (session.chunks_sent, session.chunks_received) {
        (0, 0) => Worth::Nothing,
        // One's own voice.
        (_, 0) => Worth::OneSide,
        _ => Worth::Call,
    }
}

/// A call that went well, but was to be written and is not.
fn judge_written(verdict: Verdict, file: Option<&RecordingStatus>) -> Verdict {
    match file {
        Some(RecordingStatus {
            path,
            failure: Some(failure),
            ..
        }) if verdict.exit == ExitCode::Good => Verdict::new(
            ExitCode::NotWritten,
            format!("not all of the call is in {}: {failure}", path.display()),
        ),
        _ => verdict,
    }
}

pub(crate) fn judge(
    args: &CallArgs,
    plan: &Plan,
    end: &SessionEnd,
    engine: &EngineStatus,
    session: &SessionStatus,
    ear: Option<&Ear>,
) -> Verdict {
    if let Some(verdict) = judge_line(end) {
        return verdict;
    }
    if let Some(failure) = &engine.failure {
        return Verdict::new(ExitCode::NoAudio, failure.clone());
    }
    if engine.garbage.muted_us > 0 {
        return Verdict::new(
            ExitCode::WrongAudio,
            format!(
                "for {:.1} s what the server sent was no sound but noise, and was muted: see that it \
                 answers in {}, or call with another --codec",
                engine.garbage.muted_us as f64 / 1e6,
                plan.format
            ),
        );
    }
    let waits = args.alone() == Alone::Silence && !session.leg_id.is_empty();
    let nobody = || {
        Verdict::new(
            ExitCode::NoAudio,
            "nobody else came into the call; start the same command once more beside it",
        )
    };
    let heard = match ear.map(Ear::report) {
        Some(None) => return nobody(),
        heard => heard.flatten(),
    };
    if session.sound_received == 0 && waits && heard.is_none() {
        return Verdict::new(ExitCode::Good, "the call is over; nobody was heard in it");
    }
    if session.sound_received == 0 && !engine.muted && !engine.withheld {
        return Verdict::new(
            ExitCode::NoAudio,
            format!(
                "the server took {} chunks and sent no sound back; \"{}\" looks into it",
                session.chunks_sent,
                reachability::doctor(&args.server)
            ),
        );
    }
    match heard {
        Some((frequency_hz, heard)) => {
            let unprocessed = plan.effects.as_ref().is_some_and(Effects::is_none);
            let expected = Expected {
                frequency_hz,
                level_dbfs: unprocessed.then_some(TONE_DBFS),
                strict: args.strict,
                stalled: args
                    .impair
                    .as_ref()
                    .map_or_else(Stalled::default, |line| Stalled::of(line, plan.duration)),
            };
            judge_tone(expected, &heard, Report::concealed_ratio(engine))
        }
        None => Verdict::new(ExitCode::Good, "the call is over"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_worth_what_was_sent_and_received() {
        let worth = |chunks_sent, chunks_received| {
            worth(&SessionStatus {
                chunks_sent,
                chunks_received,
                ..SessionStatus::default()
            })
        };
        assert_eq!(worth(0, 0), Worth::Nothing);
        assert_eq!(worth(5_000, 0), Worth::OneSide);
        assert_eq!(worth(5_000, 1), Worth::Call);
        assert_eq!(worth(0, 1), Worth::Call);
    }
}
