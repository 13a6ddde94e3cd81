//! Devices that are not there, do not answer, or go away in a call.

use std::{
    fs,
    os::unix::net::UnixListener,
    thread,
    time::{Duration, Instant},
};

use tests::{Output, Process, Server, Tape, bin, rig::Rig, skip};

const LIMIT: Duration = Duration::from_secs(40);

/// `softphone` with these arguments, to its end.
fn softphone(args: &[&str], env: &[(String, String)]) -> Output {
    Process::start(bin("softphone"), args, env).wait(LIMIT)
}

fn pulse_server(path: &std::path::Path) -> Vec<(String, String)> {
    vec![(
        "PULSE_SERVER".to_owned(),
        format!("unix:{}", path.display()),
    )]
}

#[test]
fn devices_are_listed_with_their_defaults() {
    let Some(rig) = Rig::start() else { return };
    let output = softphone(&["devices", "--json"], &rig.env());
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let found: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let hosts = found["hosts"].as_array().expect("hosts");
    let pulse = hosts
        .iter()
        .find(|host| host["host"] == "pulseaudio")
        .expect("the PulseAudio host");
    for (direction, name) in [("inputs", "microphone"), ("outputs", "speaker")] {
        let devices = pulse[direction].as_array().expect("a list");
        let default = devices
            .iter()
            .find(|device| device["default"] == true)
            .unwrap_or_else(|| panic!("no default among {devices:?}"));
        let words = format!("{} {}", default["id"], default["name"]).to_lowercase();
        assert!(words.contains(name), "{words}");
        assert_eq!(default["sample_rate_hz"], 48_000);
        assert!(default["channels"].as_u64() >= Some(1));
    }
    let plain = softphone(&["devices"], &rig.env());
    assert!(plain.stdout.contains("48000 Hz"), "{}", plain.stdout);
}

#[test]
fn a_device_that_is_not_there_is_a_usage_error_that_says_what_is() {
    let Some(rig) = Rig::start() else { return };
    let args = [
        "--audio-host",
        "pulseaudio",
        "--input",
        "studio microphone 9",
    ];
    let output = softphone(&args, &rig.env());
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    for words in ["studio microphone 9", "pulseaudio", "icrophone"] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
    let output = softphone(&["--audio-host", "gramophone"], &rig.env());
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    for words in ["gramophone", "alsa", "pulseaudio"] {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}

#[test]
fn a_machine_without_sound_is_told_what_to_do() {
    if fs::exists("/dev/snd").unwrap_or(false) {
        skip("this machine has sound hardware, which the test must not find");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let output = softphone(&[], &pulse_server(&dir.path().join("nobody")));
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert!(output.stderr.contains("--synthetic"), "{}", output.stderr);
    assert_eq!(
        output.stderr.lines().count(),
        1,
        "libraries chatter: {}",
        output.stderr
    );
}

#[test]
fn an_audio_server_that_never_answers_is_given_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("native");
    // The kernel accepts for it, and it says nothing.
    let _silent = UnixListener::bind(&path).expect("a socket");
    for host in ["alsa", "pulseaudio"] {
        let output = softphone(&["--audio-host", host], &pulse_server(&path));
        assert_eq!(output.code, Some(5), "{host}: {}", output.stderr);
        let words = output.stderr.to_lowercase();
        let said = words.contains("answer") || words.contains("timed out");
        assert!(said, "{host}: {words}");
    }
    let list = softphone(&["devices"], &pulse_server(&path));
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    assert!(list.stdout.contains("answer"), "{}", list.stdout);
}

/// Softphones that are in a call on each host, a tone of its own in the speaker.
struct Callers {
    server: Server,
    softphones: [(&'static str, f32, Process); 2],
}

impl Callers {
    fn start(rig: &Rig) -> Self {
        let server = Server::start(&["--effects", "none"]);
        let addr = server.addr().to_string();
        let softphones = [("pulseaudio", 500.0), ("alsa", 1_000.0)].map(|(host, hz)| {
            let tone = hz.to_string();
            let args = ["--server", &addr, "--audio-host", host, "--json"];
            let args = [&args[..], &["--source", "tone", "--tone", &tone]].concat();
            let softphone = Process::start(bin("softphone"), &args, &rig.env());
            softphone.wait_for_stderr("connected", LIMIT);
            (host, hz, softphone)
        });
        Self { server, softphones }
    }

    /// Both are heard.
    fn hear(&self, rig: &Rig) {
        let mut tape = Tape::start(rig, "cable.monitor", 3);
        for (host, hz, _) in &self.softphones {
            tape.wait_for(&format!("the tone through {host}"), LIMIT, |tape| {
                tape.seconds_of(1, *hz, 0) >= 0.5
            });
        }
    }

    /// Both have said so.
    fn said(&self, words: &str) {
        for (_, _, softphone) in &self.softphones {
            softphone.wait_for_stderr(words, LIMIT);
        }
    }

    /// Both hang up after one call that was never interrupted.
    fn hang_up(&mut self) {
        for (host, _, softphone) in &mut self.softphones {
            softphone.signal("INT");
            let output = softphone.wait(LIMIT);
            assert_eq!(output.code, Some(0), "{host}: {}", output.stderr);
            let figures: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
            assert_eq!(figures["reconnects"], 0, "{host}: {figures:#}");
            assert_eq!(
                figures["speaker"]["state"], "running",
                "{host}: {figures:#}"
            );
            let rebuilds = figures["speaker"]["rebuilds"].as_u64();
            assert!(rebuilds >= Some(1), "{host}: {figures:#}");
        }
        let log = self.server.stderr();
        assert_eq!(log.matches("call started").count(), 2, "{log}");
        assert_eq!(log.matches("ended by the peer").count(), 2, "{log}");
    }
}

#[test]
fn a_call_outlives_an_audio_server_that_is_killed_and_started_again() {
    let Some(mut rig) = Rig::start() else { return };
    let mut callers = Callers::start(&rig);
    callers.hear(&rig);
    rig.kill();
    callers.said("trying to open it again");
    rig.start_again();
    callers.said(": back");
    callers.hear(&rig);
    callers.hang_up();
}

#[test]
fn a_call_outlives_an_audio_server_that_is_frozen_for_ten_seconds() {
    let Some(mut rig) = Rig::start() else { return };
    let mut callers = Callers::start(&rig);
    callers.hear(&rig);
    let frozen = Instant::now();
    rig.pulseaudio().signal("STOP");
    callers.said("it stopped without an error; trying to open it again");
    // Not to let anything settle: these seconds are what is tested.
    thread::sleep(Duration::from_secs(10).saturating_sub(frozen.elapsed()));
    rig.pulseaudio().signal("CONT");
    callers.said(": back");
    callers.hear(&rig);
    callers.hang_up();
}

#[test]
fn a_call_without_an_audio_server_goes_on_and_ends_when_told_to() {
    let Some(mut rig) = Rig::start() else { return };
    let server = Server::start(&["--effects", "none"]);
    let addr = server.addr().to_string();
    let mut softphone = Process::start(bin("softphone"), &["--server", &addr], &rig.env());
    softphone.wait_for_stdout("connected", LIMIT);
    rig.kill();
    softphone.wait_for_stdout("trying to open it again", LIMIT);
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}
