//! The loudspeaker next to the microphone, on virtual devices: what comes out of the virtual speaker
//! goes back into the virtual microphone, later and louder.

use std::time::Duration;

use serde_json::Value;
use tests::{
    Process, Server,
    analysis::{percentile, rms_dbfs},
    bin,
    rig::{RATE, Recording, Rig, Unclean, clean_run},
    signals::speech,
    stall_watch::judged,
};

const LIMIT: Duration = Duration::from_secs(30);
const RECORD: Duration = Duration::from_secs(10);
const SPOKEN_SAMPLES: usize = RATE as usize * 5 / 2;

/// Levels of the speaker in dBFS during a call in which somebody speaks for 2.5 seconds.
#[derive(Debug)]
struct Levels {
    /// The median half second while they speak.
    spoken: f64,
    /// The loudest half second of all.
    loudest: f64,
    /// The last second, when it has long been silent.
    last: f64,
}

/// Makes a call whose levels are to be `good`.
fn judge(
    rig: &Rig,
    delay_ms: u64,
    gain_db: f64,
    aec: &str,
    feed: &[f32],
    good: fn(&Levels) -> bool,
) {
    // A machine that stands still tears the echo from its reference.
    let attempt = || {
        let (levels, figures, stall) = clean_run(|| call(rig, delay_ms, gain_db, aec, feed));
        ((levels, figures), stall)
    };
    let Some((levels, figures)) = judged(attempt, |(levels, _)| good(levels)) else {
        return;
    };
    let (near_end, echo) = (&figures["near_end"], &figures["echo"]["message"]);
    println!("{delay_ms} ms, {gain_db} dB, --aec {aec}: {levels:.0?}, {near_end}, {echo}");
    assert!(
        good(&levels),
        "{delay_ms} ms, {gain_db} dB, {aec}: {levels:?}, {figures:#}"
    );
}

fn call(
    rig: &Rig,
    delay_ms: u64,
    gain_db: f64,
    aec: &str,
    feed: &[f32],
) -> Result<(Levels, Value, Duration), Unclean> {
    rig.put_speaker_next_to_microphone(Duration::from_millis(delay_ms), gain_db);
    let server = Server::start(&["--log", "error"]);
    let addr = server.addr().to_string();
    let args = [
        "--server",
        &addr,
        "--audio-host",
        "pulseaudio",
        "--aec",
        aec,
        "--json",
    ];
    let mut softphone = Process::start(bin("softphone"), &args, &rig.env());
    softphone.wait_for_stderr("connected", LIMIT);
    let Recording { speaker, stall, .. } = rig.play_and_record_mixed(feed, RECORD)?;
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let figures = serde_json::from_str(&output.stdout).expect("JSON on stdout");

    let first = speaker.iter().position(|sample| sample.abs() > 0.01);
    let Some(first) = first else {
        return Err(Unclean::because("nothing came out of the speaker"));
    };
    let halves = |samples: &[f32]| -> Vec<f64> {
        let halves = samples.chunks_exact(RATE as usize / 2);
        halves.map(rms_dbfs).collect()
    };
    let spoken = &speaker[first..(first + SPOKEN_SAMPLES).min(speaker.len())];
    let levels = Levels {
        spoken: percentile(&halves(spoken), 50.0),
        loudest: percentile(&halves(&speaker), 100.0),
        last: rms_dbfs(&speaker[speaker.len() - RATE as usize..]),
    };
    Ok((levels, figures, stall))
}

#[test]
fn a_loudspeaker_next_to_the_microphone_does_not_howl() {
    let Some(mut feed) = speech("One two three four five six seven eight nine ten eleven") else {
        return;
    };
    feed.truncate(SPOKEN_SAMPLES);
    let Some(rig) = Rig::start() else { return };
    let quiet_and_heard =
        |levels: &Levels| levels.spoken > -35.0 && levels.loudest < -6.0 && levels.last < -40.0;
    for delay_ms in [120, 300] {
        for gain_db in [-6.0, 0.0, 6.0] {
            judge(&rig, delay_ms, gain_db, "auto", &feed, quiet_and_heard);
        }
    }
    // The same without the canceller: that is what it is for.
    judge(&rig, 120, 6.0, "off", &feed, |levels| levels.last > -20.0);
}
