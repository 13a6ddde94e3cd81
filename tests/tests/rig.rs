//! The rig judged by itself: without a program of ours on it, it measures what is known.

use std::time::Duration;

use tests::{
    Process,
    analysis::{Delay, delays, longest_gap_ms, percentile, rms_dbfs},
    rig::{Recording, Rig, clean_run},
    signals::{chirp, repeated, speech},
    stall_watch::judged_by,
};

const LENGTH: Duration = Duration::from_secs(8);

/// Five seconds of a gliding sine that never repeats within the reach of a delay.
fn feed() -> Vec<f32> {
    repeated(&chirp(300.0, 3400.0, 2.5, 0.3), 5.0)
}

fn measure(recording: &Recording) -> (f64, f64, Vec<Delay>) {
    let found = delays(&recording.feed, &recording.speaker, recording.rate);
    let all: Vec<f64> = found.iter().map(|delay| delay.delay_ms).collect();
    let (low, high) = (percentile(&all, 0.0), percentile(&all, 100.0));
    println!("{low:.2} to {high:.2} ms in {} windows", found.len());
    (low, high, found)
}

/// What is recorded of `feed` where it comes back this much alike, at delays that lie no farther apart.
/// `None` where it never does and this machine always stood still.
fn steady(rig: &Rig, feed: &[f32], alike: f64, apart_ms: f64) -> Option<Recording> {
    let record = || clean_run(|| rig.play_and_record(feed, LENGTH));
    let is_steady = |recording: &Recording| {
        let (low, high, found) = measure(recording);
        high - low < apart_ms && found.iter().all(|delay| delay.correlation > alike)
    };
    judged_by(record, |recording| recording.stall, is_steady)
}

#[test]
fn a_loopback_of_known_latency_is_measured_as_such() {
    let Some(rig) = Rig::start() else { return };
    rig.pactl(&[
        "load-module",
        "module-loopback",
        "source=microphone",
        "sink=speaker",
        "latency_msec=120",
        "adjust_time=0",
    ]);
    let Some(recording) = steady(&rig, &feed(), 0.99, 1.0) else {
        return;
    };
    let (low, high, found) = measure(&recording);
    assert!(found.len() >= 8, "{found:?}");
    assert!(
        found.iter().all(|delay| delay.correlation > 0.99),
        "{found:?}"
    );
    assert!(high - low < 1.0, "the delay wanders: {found:?}");
    assert!((60.0..200.0).contains(&low), "{low} ms");
    let gap = longest_gap_ms(&recording.feed, &recording.speaker, recording.rate, low);
    assert!(gap < 10.0, "{gap} ms are missing");
    let change = rms_dbfs(&recording.speaker) - rms_dbfs(&recording.feed);
    assert!(change.abs() < 0.5, "the level changed by {change} dB");
}

#[test]
fn a_program_between_microphone_and_speaker_is_heard() {
    let Some(rig) = Rig::start() else { return };
    let Some(words) = speech("The quick brown fox jumps over the lazy dog, again and again.")
    else {
        return;
    };
    // The default devices, as any program would open them. Both ends of the pipe end with the rig.
    let copy = "parec --raw --latency-msec=20 | pacat --raw --latency-msec=20";
    let _copy = Process::start("/bin/sh", &["-c", copy], &rig.env());
    let Some(recording) = steady(&rig, &words, 0.9, 20.0) else {
        return;
    };
    let (low, high, found) = measure(&recording);
    assert!(
        found.iter().all(|delay| delay.correlation > 0.9),
        "{found:?}"
    );
    assert!(high - low < 20.0, "the delay wanders: {found:?}");
    assert!(high < 500.0, "{high} ms");
}

#[test]
fn a_silent_rig_records_silence() {
    let Some(rig) = Rig::start() else { return };
    let recording = clean_run(|| rig.record(Duration::from_secs(1)));
    assert_eq!(recording.feed.len(), recording.rate as usize);
    assert!(
        recording
            .feed
            .iter()
            .chain(&recording.speaker)
            .all(|sample| *sample == 0.0)
    );
}
