//! What the receiving half promises on bad lines, on a virtual clock: that the delay stays what the
//! line needs, and that what is heard stays whole. The table in docs/jitter-buffer.md shows the same
//! lines at length.

// Clippy lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use audio::{Format, Tone, ToneDetector, ToneReport};
use tests::{
    analysis, pesq,
    playout_line::{Heard, PlayoutLine},
    signals::speech,
};

const TONE_HZ: f32 = 440.0;

fn pcm(rate: i32) -> Format {
    Format::parse("pcm", rate, 1).unwrap()
}

fn hear_tone(line: &PlayoutLine, seconds: u64) -> (Heard, ToneReport) {
    let mut tone = Tone::new(TONE_HZ, -12.0, line.format.sample_rate_hz());
    let mut ear = ToneDetector::new(TONE_HZ, line.speaker_hz);
    let heard = line.run(
        Duration::from_secs(seconds),
        |samples| tone.fill(samples),
        |samples| ear.push(samples),
    );
    (heard, ear.report())
}

#[test]
fn ten_minutes_of_drift_become_neither_delay_nor_gaps_nor_pitch() {
    for ppm in [-200.0, 200.0] {
        let line = PlayoutLine {
            format: pcm(16_000),
            speaker_hz: 16_000,
            ..PlayoutLine::new(&format!("ppm={ppm}"))
        };
        let (heard, tone) = hear_tone(&line, 600);
        let (early, late) = (heard.mean_delay(2.0, 5.0), heard.mean_delay(580.0, 600.0));
        let (least, most) = (
            heard.percentile(5.0, 600.0, 0.0),
            heard.percentile(5.0, 600.0, 100.0),
        );
        println!(
            "{ppm} ppm, learned {:.1}: {early:.2} then {late:.2} ms, within {least:.2}–{most:.2}; \
             {:?} {tone:?}",
            heard.drift_ppm, heard.stats
        );
        assert!((late - early).abs() < 5.0 && most - least < 5.0);
        assert_eq!((heard.stats.cut_us, heard.stats.inserted_us), (0, 0));
        assert_eq!(heard.stats.concealed_us, 0);
        assert_eq!((tone.clicks, tone.missing_ms), (0, 0.0), "{tone:?}");
        // The tone is slower or faster by the drift itself, as it has to be, and pure.
        let expected = TONE_HZ * (1.0 - ppm as f32 * 1e-6);
        assert!((tone.frequency_hz - expected).abs() < 0.02, "{tone:?}");
        assert!(tone.purity_db > 60.0, "{tone:?}");
        assert!((heard.drift_ppm - ppm).abs() < 2.0, "{}", heard.drift_ppm);
    }
}

#[test]
fn drift_is_met_between_other_rates_and_under_jitter_too() {
    let between = PlayoutLine {
        speaker_hz: 44_100,
        ..PlayoutLine::new("ppm=200")
    };
    let (heard, tone) = hear_tone(&between, 60);
    assert_eq!(heard.stats.cut_us + heard.stats.inserted_us, 0);
    assert_eq!((tone.clicks, tone.missing_ms), (0, 0.0), "{tone:?}");
    for ppm in [-200.0, 200.0] {
        let jittery = PlayoutLine {
            format: pcm(16_000),
            speaker_hz: 16_000,
            ..PlayoutLine::new(&format!("jitter=15ms,ppm={ppm},seed=3"))
        };
        let (heard, _) = hear_tone(&jittery, 300);
        // It wanders with the jitter, around the truth.
        let settled: Vec<f64> = heard
            .course
            .iter()
            .skip(10_000)
            .map(|m| m.drift_ppm)
            .collect();
        let learned = settled.iter().sum::<f64>() / settled.len() as f64;
        println!(
            "jitter and {ppm} ppm: learned {learned:.0}; {:?}",
            heard.stats
        );
        assert!((learned - ppm).abs() < 60.0, "{learned}");
        let (early, late) = (heard.mean_delay(20.0, 80.0), heard.mean_delay(240.0, 300.0));
        assert!((late - early).abs() < 8.0, "{early} {late}");
    }
}

#[test]
fn after_a_stall_the_delay_is_back_within_a_second_and_the_drift_still_known() {
    for (stall_ms, keeps) in [300, 2_000, 10_000]
        .into_iter()
        .flat_map(|stall_ms| [(stall_ms, None), (stall_ms, Some(150))])
    {
        let line = PlayoutLine {
            keeps: keeps.map(Duration::from_millis),
            ..PlayoutLine::new(&format!("stall={stall_ms}ms@30s,ppm=150"))
        };
        let (heard, tone) = hear_tone(&line, 46);
        let end = 30.0 + f64::from(stall_ms) / 1e3;
        let before = heard.mean_delay(25.0, 30.0);
        let after = [0.1, 0.5, 1.0, 1.2, 2.7].map(|after| heard.delay_at(end + after));
        println!(
            "stall of {stall_ms} ms, sender keeps {keeps:?}: before {before:.1}, after \
             {after:.1?} ms, learned {:.0} ppm, {tone:?}",
            heard.drift_ppm
        );
        let most = heard.percentile(end + 1.0, 46.0, 100.0);
        assert!(most < before + 8.0, "{most}");
        let stats = heard.stats;
        assert_eq!(stats.long_concealments, 1, "{stats:?}");
        assert!(stats.short_concealments <= 1, "{stats:?}");
        // Nothing is missing but for the stall, and what was dropped as too late.
        let missing = f64::from(tone.missing_ms) - f64::from(stall_ms);
        assert!(missing < 100.0, "{tone:?}");
        assert_eq!(tone.clicks, 0, "{tone:?}");
        // Two thirds had been learned in the half minute before, and nothing was unlearned.
        let known = heard.course.iter().find(|m| m.at_s > 29.9).unwrap();
        let range = known.drift_ppm - 10.0..180.0;
        assert!(range.contains(&heard.drift_ppm), "{known:?}");
    }
}

#[test]
fn no_line_is_worse_than_the_baselines() {
    let (steady, tone) = hear_tone(&PlayoutLine::new("none"), 20);
    assert!(steady.mean_delay(5.0, 20.0) < 18.0);
    assert_eq!((steady.stats.concealed_us, tone.clicks), (0, 0));

    for seed in 1..=3 {
        let jittery = PlayoutLine::new(&format!("jitter=15ms,seed={seed}"));
        let (heard, tone) = hear_tone(&jittery, 20);
        // With the line's own, as the baselines are.
        let delay = heard.mean_delay(5.0, 20.0) + 45.0;
        println!(
            "jitter: {delay:.0} ms with the line's 45, {:?}",
            heard.stats
        );
        assert!(delay < 101.0, "{delay}");
        assert!(heard.stats.concealed_us < 150_000, "{:?}", heard.stats);
        assert_eq!(heard.stats.long_concealments, 0, "{:?}", heard.stats);
        assert_eq!(tone.clicks, 0, "{tone:?}");
    }

    let (stalled, _) = hear_tone(&PlayoutLine::new("stall=300ms@10s"), 20);
    assert!(stalled.delay_at(10.3 + 0.5) < 46.0);
    assert!(stalled.delay_at(10.3 + 1.2) < 26.0);

    for ppm in [-200, 200] {
        let (drifting, _) = hear_tone(&PlayoutLine::new(&format!("ppm={ppm}")), 60);
        assert!(drifting.mean_delay(59.0, 60.0) < 21.0);
    }
}

/// PESQ of half a minute of speech, as docs/jitter-buffer.md has it: what was measured when this was
/// written, less 0.15 for another voice or libopus.
#[test]
fn speech_over_bad_lines_sounds_as_good_as_it_did() {
    const TEXT: &str = "Good morning, you are through to the service desk. My name is Alice, and I \
        am glad to help. The order that you placed on Friday has left our house and should be with \
        you by tomorrow noon. May I read the address back to you, so that nothing goes astray?";
    let Some(voice) = speech(TEXT) else { return };
    let sent: Vec<f32> = voice.iter().copied().cycle().take(30 * 48_000).collect();
    for (words, least) in [
        ("none", 3.9),
        ("jitter=15ms,seed=1", 3.55),
        ("stall=300ms@15s", 3.4),
        ("stall-every=300ms/5s", 2.05),
    ] {
        let line = PlayoutLine {
            bitrate: 96_000,
            ..PlayoutLine::new(words)
        };
        let (mut packets, mut heard) = (sent.chunks(960), Vec::new());
        line.run(
            Duration::from_secs(30),
            |packet| packet.copy_from_slice(packets.next().unwrap()),
            |period| heard.extend_from_slice(period),
        );
        let Some(score) = pesq(&sent, &heard, 48_000) else {
            return;
        };
        println!("{words}: PESQ {score:.2}");
        assert!(score > least, "{words}: {score}");
    }
}

#[test]
fn the_delay_that_is_reported_is_the_delay_that_is_heard() {
    let line = PlayoutLine {
        format: pcm(16_000),
        ..PlayoutLine::new("delay=30ms,ppm=-100")
    };
    let sent = noise(20 * 16_000);
    let (mut packets, mut played) = (sent.chunks(320), Vec::new());
    let heard = line.run(
        Duration::from_secs(20),
        |packet| packet.copy_from_slice(packets.next().unwrap()),
        |period| played.extend_from_slice(period),
    );
    let sent = tests::signals::resample(&sent, 16_000, 48_000);
    for found in analysis::delays(&sent, &played, 48_000).iter().skip(8) {
        // The speaker's first sample is 3.3 ms after the sender's, and its clock is slower; a packet
        // of 20 ms and the line's 30 are not counted as the buffer's.
        let at_s = (found.at_ms + found.delay_ms) / 1e3;
        let truth = found.delay_ms + 3.3 + at_s * 0.1 - 20.0 - 30.0;
        let told = heard.delay_at(at_s + 0.25);
        assert!(
            (told - truth).abs() < 1.5,
            "{told} ms told, {truth} ms heard"
        );
    }
}

/// Noise without the highest frequencies.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut last = 0.0;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let white = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        last += (white - last) * 0.4;
        last
    };
    (0..count).map(next).collect()
}

#[test]
fn all_together_the_line_is_back_at_its_target_within_a_second() {
    for ppm in [-200, 200] {
        let words = format!("jitter=15ms,stall=300ms@10s,stall=2s@20s,ppm={ppm},seed=7");
        let line = PlayoutLine {
            keeps: Some(Duration::from_millis(150)),
            ..PlayoutLine::new(&words)
        };
        let (heard, _) = hear_tone(&line, 32);
        let before = heard.mean_delay(5.0, 10.0);
        let most = heard.percentile(23.0, 32.0, 100.0);
        println!(
            "{ppm} ppm: before {before:.0}, at most {most:.0} ms; {:?}",
            heard.stats
        );
        assert!(most < before + 20.0, "{before} {most}");
        assert_eq!(heard.stats.long_concealments, 2, "{:?}", heard.stats);
    }
}
