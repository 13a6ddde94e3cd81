//! `softphone --synthetic --virtual-time`: calls on bad lines, without a server, as anyone can make
//! them.

use std::time::Duration;

use serde_json::Value;
use tests::{Output, bin, run};

const LIMIT: Duration = Duration::from_secs(120);

/// A virtual call with JSON on stdout.
fn call(args: &[&str]) -> Output {
    let fixed = ["--synthetic", "--virtual-time", "--json"];
    run(bin("softphone"), &[&fixed, args].concat(), None, LIMIT)
}

fn figures(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn number(figures: &Value, pointer: &str) -> f64 {
    let value = figures.pointer(pointer).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("no number at {pointer}: {figures:#}"))
}

#[test]
fn a_perfect_line_is_heard_whole_and_its_delay_stands_still() {
    let output = call(&["--duration", "30s", "--strict"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let figures = figures(&output);
    assert_eq!(figures["outcome"], "good");
    assert_eq!(number(&figures, "/duration_s"), 30.0);
    assert_eq!(figures["virtual_line"]["impairment"], "none");
    assert_eq!(figures["virtual_line"]["stalls"]["count"], 0);
    assert_eq!(number(&figures, "/tone/missing_ms"), 0.0);
    // A chunk, the encoder, and what the jitter buffer keeps.
    let start = number(&figures, "/virtual_line/delay_ms/start");
    assert!((12.5..40.0).contains(&start), "{start} ms");
    let end = number(&figures, "/virtual_line/delay_ms/end");
    assert!((end - start).abs() < 5.0, "{start} ms became {end}");
    assert!(number(&figures, "/mos/worst") > 4.2);
}

#[test]
fn the_same_words_give_the_same_bytes() {
    let line = "delay=20ms,jitter=5ms,stall=300ms@8s,ppm=100,seed=7";
    let args = ["--duration", "15s", "--impair", line];
    let [one, two] = [(); 2].map(|()| call(&args));
    assert_eq!(one.stdout, two.stdout);
    assert_eq!(one.code, two.code);
    assert_eq!(figures(&one)["virtual_line"]["impairment"], line);
    let other = line.replace("seed=7", "seed=8");
    let other = call(&["--duration", "15s", "--impair", &other]);
    assert_ne!(
        figures(&one)["delay_ms"]["median"],
        figures(&other)["delay_ms"]["median"]
    );
}

#[test]
fn after_a_stall_the_line_is_as_quick_as_before() {
    let output = call(&["--duration", "20s", "--impair", "delay=20ms,stall=2s@10s"]);
    let figures = figures(&output);
    assert_eq!(output.code, Some(0), "{figures:#}");
    assert_eq!(figures["virtual_line"]["stalls"]["count"], 1);
    assert_eq!(figures["virtual_line"]["stalls"]["not_back"], 0);
    let back = number(&figures, "/virtual_line/stalls/back_after_ms/worst");
    assert!(back < 1_000.0, "back after {back} ms");
    assert_eq!(figures["jitter_buffer"]["long_concealments"], 1);
    assert!(number(&figures, "/chunks_dropped") > 150.0, "{figures:#}");
    assert!(number(&figures, "/mos/worst") < 2.0);
    assert!(number(&figures, "/mos/now") > 4.0);
    let longest = number(&figures, "/jitter_buffer/longest_concealed_ms");
    assert!((1_800.0..2_300.0).contains(&longest), "{longest} ms");
}

#[test]
fn both_directions_are_as_long_as_asked_for() {
    let output = call(&["--duration", "10s", "--impair", "delay=30ms"]);
    let figures = figures(&output);
    let round_trip = number(&figures, "/round_trip_ms");
    assert!((60.0..64.0).contains(&round_trip), "{round_trip} ms");
    for stage in ["uplink", "downlink"] {
        let ms = number(&figures, &format!("/delay_ms/median/{stage}"));
        assert!((29.0..34.0).contains(&ms), "{stage}: {ms} ms");
    }
}

#[test]
fn what_is_more_than_the_stalls_is_wrong_audio() {
    // Far more than any buffer that talks can hold back.
    let args = ["--duration", "20s", "--impair", "jitter=300ms,seed=1"];
    let output = call(&args);
    assert_eq!(output.code, Some(6), "{output:?}");
    assert_eq!(figures(&output)["outcome"], "wrong audio");
    // And where nothing may be missing, a stall is not excused either.
    let output = call(&["--duration", "10s", "--strict", "--impair", "stall=1s@5s"]);
    assert_eq!(output.code, Some(6), "{output:?}");
}

#[test]
fn wrong_words_are_answered_with_the_right_ones() {
    for (args, words) in [
        (
            vec!["--synthetic", "--impair", "jitter=15ms"],
            vec!["--virtual-time"],
        ),
        (vec!["--virtual-time"], vec!["--synthetic"]),
        (
            vec!["--synthetic", "--virtual-time", "--impair", "loss=3%"],
            vec!["loss=3%", "jitter=15ms", "stall=2s@10s"],
        ),
        (
            vec!["--synthetic", "--virtual-time", "--impair", "stall=2s"],
            vec!["stall=2s@10s"],
        ),
        (
            vec!["--synthetic", "--virtual-time", "--impair", "ppm=fast"],
            vec!["ppm=fast", "ppm=200"],
        ),
        (
            vec!["--synthetic", "--virtual-time", "--server", "localhost"],
            vec!["--server", "cannot be used with"],
        ),
    ] {
        let output = run(bin("softphone"), &args, None, LIMIT);
        assert_eq!(output.code, Some(2), "{args:?}: {output:?}");
        for word in words {
            assert!(output.stderr.contains(word), "{args:?}: {}", output.stderr);
        }
    }
}

#[test]
fn every_codec_comes_through() {
    for codec in ["opus", "pcm", "pcmu", "pcma"] {
        let output = call(&["--codec", codec, "--effects", "highpass,limiter"]);
        assert_eq!(output.code, Some(0), "{codec}: {output:?}");
        let processing = number(&figures(&output), "/delay_ms/server_processing");
        assert!(processing > 0.0, "{codec}");
    }
}
