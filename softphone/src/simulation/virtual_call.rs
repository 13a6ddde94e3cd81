//! `softphone --synthetic --virtual-time`: a call without server, devices or waiting, so that
//! anyone can check what is claimed of delay on a bad line.
//!
//! Deterministic: the same arguments give the same figures, but for how long the machine took.

use std::time::{Duration, Instant};

use super::{Simulation, SimulationOptions};
use crate::{
    args::CallArgs,
    call::{Plan, TONE_DBFS, judge},
    device::{
        DeviceStats, Speaker,
        simulated::{
            virtual_microphone::ToneMicrophone,
            virtual_speaker::{Ear, VirtualSpeaker},
        },
    },
    report::{
        Report, VirtualFigures,
        line_trace::{BACK_WITHIN, LineTrace, TraceFigures},
        verdict::{ExitCode, Verdict},
    },
    session::SessionEnd,
};
use audio::Effects;

/// After hanging up, the longest that is waited for what is still due: the longest stall, and some.
const LAST_SOUND: Duration = Duration::from_secs(660);

/// How often those who wait are told how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// Makes the call.
///
/// # Errors
/// It could not be simulated.
pub fn call(args: &CallArgs) -> Result<Report, Verdict> {
    let plan = Plan::new(args)?;
    let failed = |why: String| Verdict::new(ExitCode::NoAudio, why);
    let impairment = args.impair.clone().unwrap_or_default();
    let length = plan.duration.unwrap_or_default();
    let options = SimulationOptions {
        format: plan.format,
        chunk_samples: plan.format.samples_in(args.frame),
        bitrate: args.bitrate,
        effects: plan.effects.clone().unwrap_or_else(Effects::none),
        impairment: impairment.clone(),
    };
    let ear = Ear::new(args.tone);
    let microphone = ToneMicrophone::new(args.tone, TONE_DBFS);
    let speaker = DriftingSpeaker {
        speaker: VirtualSpeaker::ear(ear.clone()),
        pace: 1.0 + impairment.drift_ppm() * 1e-6,
    };
    let mut simulation = Simulation::new(options, Box::new(microphone), Box::new(speaker))
        .map_err(|error| failed(error.to_string()))?;
    let mut trace = LineTrace::new(&impairment, length);
    let mut progress = Progress::start(length);
    simulation.connect();
    while !simulation.is_over() && simulation.now() < length + LAST_SOUND {
        let now = simulation.now();
        if now >= length {
            simulation.hang_up();
        } else {
            trace.observe(now, simulation.engine().heard());
            progress.tell(now);
        }
        simulation
            .step(|_, _| {})
            .map_err(|error| failed(error.to_string()))?;
    }
    let engine = simulation.status();
    let session = simulation.session().clone();
    let trace = trace.figures();
    let verdict = judge(
        args,
        &plan,
        &SessionEnd::Completed,
        &engine,
        &session,
        Some(&ear),
    );
    Ok(Report {
        verdict: judge_delay(verdict, &trace),
        server: "an echo in this program".to_owned(),
        call_id: "virtual".to_owned(),
        format: plan.format.to_string(),
        frame_ms: args.frame.as_secs_f64() * 1e3,
        effects: plan.effects_wish(),
        duration: length,
        engine,
        dropped: simulation.dropped(),
        session,
        tone: ear.report().map(|(_, report)| report),
        recording: None,
        sink: None,
        virtual_line: Some(VirtualFigures {
            impairment: impairment.to_string(),
            trace,
            took: progress.took(),
        }),
    })
}

/// A line that has become late is not good, however well the tone was heard.
fn judge_delay(verdict: Verdict, trace: &TraceFigures) -> Verdict {
    if let (ExitCode::Good, Some(start), Some(end)) = (verdict.exit, trace.start_us, trace.end_us)
        && Duration::from_micros(end.saturating_sub(start).into()) > BACK_WITHIN
    {
        return Verdict::new(
            ExitCode::WrongAudio,
            format!(
                "the line grew late: {:.0} ms from mouth to ear at first, {:.0} ms in the end",
                f64::from(start) / 1e3,
                f64::from(end) / 1e3
            ),
        );
    }
    verdict
}

/// A speaker whose crystal is faster or slower than the microphone's.
struct DriftingSpeaker {
    speaker: VirtualSpeaker,
    /// Its seconds in one of the engine's.
    pace: f64,
}

impl Speaker for DriftingSpeaker {
    fn sample_rate_hz(&self) -> u32 {
        self.speaker.sample_rate_hz()
    }
    fn channels(&self) -> u16 {
        self.speaker.channels()
    }
    fn wanted(&mut self, now: Duration) -> usize {
        self.speaker.wanted(now.mul_f64(self.pace))
    }
    fn write(&mut self, samples: &[f32]) {
        self.speaker.write(samples);
    }
    fn latency_us(&self) -> u32 {
        self.speaker.latency_us()
    }
    fn stats(&self) -> DeviceStats {
        self.speaker.stats()
    }
}

/// Tells on stderr how far a long call is. The only thing here that knows what time it is.
struct Progress {
    begun: Instant,
    told: Instant,
    length: Duration,
}

impl Progress {
    fn start(length: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            told: begun,
            length,
        }
    }

    fn tell(&mut self, now: Duration) {
        // A look at the clock costs little beside a second of sound.
        if !now.as_millis().is_multiple_of(1_000) || self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let speed = now.as_secs_f64() / self.took().as_secs_f64().max(1e-3);
        output::stderr().line(format!(
            "{} of {}, {speed:.0} times as fast as real time\n",
            humantime::format_duration(Duration::from_secs(now.as_secs())),
            humantime::format_duration(self.length),
        ));
    }

    fn took(&self) -> Duration {
        self.begun.elapsed()
    }
}
