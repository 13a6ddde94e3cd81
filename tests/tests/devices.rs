//! A call through real devices: sound goes into the virtual microphone, through the softphone, the
//! server and back, and is judged where it comes out of the virtual speaker.

use std::time::Duration;

use tests::{
    Process, Server,
    analysis::{Delay, delays, longest_gap_ms, percentile, rms_dbfs},
    bin,
    rig::{Recording, Rig, clean_run},
    signals::{chirp, repeated, speech},
    stall_watch::judged_by,
    unit_tests,
};

const LENGTH: Duration = Duration::from_secs(9);

/// A softphone in a call on the rig's devices, connected.
fn softphone(rig: &Rig, server: &Server, effects: &str) -> Process {
    let addr = server.addr().to_string();
    // It is the line that is judged. Who hears only himself would be taken for his own echo.
    let args = ["--server", &addr, "--effects", effects, "--aec", "off"];
    let softphone = Process::start(bin("softphone"), &args, &rig.env());
    softphone.wait_for_stdout("connected", Duration::from_secs(30));
    softphone
}

/// What the far end hears of `feed`, the softphone having hung up cleanly, once it has no fault. `None`
/// where it always has one and this machine always stood still.
fn heard(
    rig: &Rig,
    effects: &str,
    feed: &[f32],
    fault: impl Fn(&Recording) -> Option<String>,
) -> Option<Recording> {
    let server = Server::start(&[]);
    let call = || {
        clean_run(|| {
            let mut softphone = softphone(rig, &server, effects);
            let recording = rig.play_and_record(feed, LENGTH)?;
            softphone.signal("INT");
            assert_eq!(
                softphone.wait(Duration::from_secs(20)).code,
                Some(0),
                "{softphone}"
            );
            Ok(recording)
        })
    };
    let recording = judged_by(
        call,
        |recording| recording.stall,
        |recording| fault(recording).is_none(),
    );
    if let Some(fault) = recording.as_ref().and_then(fault) {
        panic!("{fault}");
    }
    recording
}

/// In the first second of sound the line may still find its delay.
const SETTLING_MS: f64 = 1_000.0;

/// The median delay; or that it is not bounded, or grows.
fn median_delay(recording: &Recording, least_correlation: f64) -> Result<f64, String> {
    let mut found = delays(&recording.feed, &recording.speaker, recording.rate);
    found.retain(|delay| delay.at_ms >= SETTLING_MS);
    // A cut or an insertion of the jitter buffer may fall into a window; a hole is judged by itself.
    let alike = |delay: &&Delay| delay.correlation > least_correlation;
    if found.len() < 6 || found.iter().filter(alike).count() * 5 < found.len() * 4 {
        return Err(format!("not all was heard: {found:?}"));
    }
    let all: Vec<f64> = found.iter().map(|delay| delay.delay_ms).collect();
    let (early, late) = all.split_at(all.len() / 2);
    let growth = percentile(late, 50.0) - percentile(early, 50.0);
    let median = percentile(&all, 50.0);
    println!("{median:.1} ms, growth {growth:.1} ms");
    if percentile(&all, 100.0) >= 250.0 || growth >= 30.0 {
        return Err(format!("the delay is too long, or grows: {found:?}"));
    }
    Ok(median)
}

#[test]
fn chirps_come_back_whole_and_as_loud_as_they_were() {
    let Some(rig) = Rig::start() else { return };
    let feed = repeated(&chirp(300.0, 3400.0, 2.5, 0.3), 6.0);
    let fault = |recording: &Recording| {
        let delay = match median_delay(recording, 0.5) {
            Ok(delay) => delay,
            Err(fault) => return Some(fault),
        };
        let gap = longest_gap_ms(&recording.feed, &recording.speaker, recording.rate, delay);
        (gap > 60.0).then(|| format!("{gap} ms are missing"))
    };
    let Some(recording) = heard(&rig, "none", &feed, fault) else {
        return;
    };
    let change = rms_dbfs(&recording.speaker) - rms_dbfs(&recording.feed);
    assert!(change.abs() < 2.0, "the level changed by {change} dB");
}

#[test]
fn speech_comes_back_through_the_default_effects() {
    let Some(rig) = Rig::start() else { return };
    let Some(words) = speech(
        "One two three four five six seven. Please hold the line, somebody will be with you soon.",
    ) else {
        return;
    };
    let fault = |recording: &Recording| median_delay(recording, 0.3).err();
    let Some(recording) = heard(&rig, "highpass,denoise,agc,limiter", &words, fault) else {
        return;
    };
    let level = rms_dbfs(&recording.speaker);
    assert!((-45.0..-5.0).contains(&level), "{level} dBFS");
}

#[test]
fn callbacks_of_real_devices_allocate_nothing() {
    let Some(rig) = Rig::start() else { return };
    let name = "device::stream::open::tests::callbacks_of_real_devices_allocate_nothing";
    let args = ["--ignored", "--exact", name];
    let mut tests = Process::start(unit_tests("softphone"), &args, &rig.env());
    let output = tests.wait(Duration::from_secs(60));
    assert!(output.stdout.contains("1 passed"), "{tests}");
    assert_eq!(output.code, Some(0), "{tests}");
}
