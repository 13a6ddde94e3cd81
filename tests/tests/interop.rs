//! The softphone against servers that are not ours: the lab's, and one that returns what it gets.

use std::{net::SocketAddr, time::Duration};

use tests::{Output, Server, bin, lab::Lab, run, scripted_far_end::ScriptedFarEnd};

/// Far more than a call of two seconds needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A synthetic call, up to three times where the machine disturbed it.
fn synthetic(server: SocketAddr, codec: &str) -> Output {
    let server = server.to_string();
    let args = [
        "--synthetic",
        "--json",
        "--duration",
        "2s",
        "--server",
        &server,
        "--codec",
        codec,
    ];
    for _ in 0..2 {
        let output = run(bin("softphone"), &args, None, LIMIT);
        if output.code != Some(6) || !output.stderr.contains("conceal") {
            return output;
        }
        println!("once more, because: {}", output.stderr);
    }
    run(bin("softphone"), &args, None, LIMIT)
}

/// The call was good, and nothing was believed that only our own server may say.
fn good_and_unnumbered(output: &Output, codec: &str) {
    let figures: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    if output.code == Some(0) {
        // A stamp taken for sound would be heard as a click in each chunk.
        assert_eq!(figures["tone"]["clicks"], 0, "{codec}: {figures:#}");
    } else {
        // Three times disturbed: the machine's fault, as long as it is a little only.
        assert_eq!(output.code, Some(6), "{codec}: {output:?}");
        let concealed = figures["concealed_ratio"].as_f64().expect("a number");
        assert!((0.001..0.2).contains(&concealed), "{codec}: {figures:#}");
        println!("{codec}: not wholly judged: {}", figures["message"]);
    }
    let number = |pointer| figures.pointer(pointer).and_then(serde_json::Value::as_f64);
    let hz = number("/tone/frequency_hz").expect("a number");
    assert!((hz - 440.0).abs() < 1.0, "{codec}: {figures:#}");
    let purity_db = number("/tone/purity_db").expect("a number");
    assert!(purity_db > 20.0, "{codec}: {figures:#}");
    assert_eq!(figures["leg_id"], "", "{codec}: {figures:#}");
    assert!(figures["round_trip_ms"].is_null(), "{codec}: {figures:#}");
    assert!(figures["mouth_to_ear_ms"].is_null(), "{codec}: {figures:#}");
    assert_eq!(figures["reconnects"], 0, "{codec}: {figures:#}");
    assert_eq!(
        figures["chunks_received"], figures["chunks_sent"],
        "{codec}"
    );
    assert_eq!(figures["jitter_buffer"]["undecodable"], 0, "{codec}");
}

#[test]
fn a_call_with_the_labs_server_is_good_and_ends() {
    let lab = Lab::start();
    for codec in ["opus", "pcm", "pcmu"] {
        let before = lab.chunks();
        good_and_unnumbered(&synthetic(lab.addr(), codec), codec);
        assert!(lab.chunks() > before);
    }
}

#[test]
fn a_call_with_a_mirror_is_good_and_its_numbers_are_not_believed() {
    let mirror = ScriptedFarEnd::mirror();
    for codec in ["opus", "pcm"] {
        good_and_unnumbered(&synthetic(mirror.addr(), codec), codec);
    }
}

#[test]
fn a_call_with_our_own_server_in_the_labs_manner_is_good() {
    let server = Server::start(&["--lab"]);
    for codec in ["opus", "pcm"] {
        good_and_unnumbered(&synthetic(server.addr(), codec), codec);
    }
}
