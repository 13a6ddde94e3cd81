//! `softphone doctor` where something is wrong, and where nothing is.

use std::{
    fs,
    io::Read,
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use serde_json::Value;
use tests::{
    Output, Process, Server, bin, free_port,
    mirror::Mirror,
    rig::{Rig, clean_run},
    skip,
};

/// Every check at its longest.
const LIMIT: Duration = Duration::from_secs(90);

type Env = [(String, String)];

fn doctor(args: &[&str], env: &Env) -> Output {
    Process::start(bin("softphone"), &[&["doctor"], args].concat(), env).wait(LIMIT)
}

/// An environment in which no audio server answers.
fn silence() -> Vec<(String, String)> {
    vec![(
        "PULSE_SERVER".to_owned(),
        "unix:/nonexistent/native".to_owned(),
    )]
}

/// What `--json` printed, every key of it looked at.
fn parsed(output: &Output) -> Value {
    let json: Value = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr));
    assert_eq!(json["exit_code"].as_i64(), output.code.map(i64::from));
    assert_eq!(json["ready"], output.code == Some(0), "{json:#}");
    let ids: Vec<_> = checks(&json)
        .iter()
        .map(|check| check["check"].as_str().unwrap_or_default())
        .collect();
    let expected = [
        "audio_hosts",
        "devices",
        "microphone",
        "speaker",
        "acoustic_round_trip",
        "real_time_threads",
        "server",
        "health",
        "call",
    ];
    assert_eq!(ids, expected);
    for check in checks(&json) {
        assert!(check["title"].is_string(), "{check:#}");
        assert!(check["took_ms"].is_u64(), "{check:#}");
        assert!(
            check["message"].as_str().is_some_and(|m| !m.is_empty()),
            "{check:#}"
        );
        let optional = ["acoustic_round_trip", "real_time_threads"];
        let is_optional = optional.iter().any(|id| check["check"] == *id);
        assert_eq!(check["required"], !is_optional, "{check:#}");
        let fixes = check["fixes"].as_array().expect("a list of fixes");
        assert!(fixes.iter().all(|fix| fix["advice"].is_string()));
        let bad = check["status"] == "fail" || check["status"] == "warn";
        assert_eq!(!fixes.is_empty(), bad, "{check:#}");
    }
    json
}

fn checks(json: &Value) -> &[Value] {
    json["checks"].as_array().expect("a list of checks")
}

fn check<'a>(json: &'a Value, id: &str) -> &'a Value {
    let found = checks(json).iter().find(|check| check["check"] == id);
    found.unwrap_or_else(|| panic!("no {id} in {json:#}"))
}

/// The first command that is to mend it.
fn command<'a>(json: &'a Value, id: &str) -> &'a str {
    check(json, id)["fixes"][0]["command"]
        .as_str()
        .unwrap_or_else(|| panic!("no command: {:#}", check(json, id)))
}

#[test]
fn a_machine_without_sound_or_server_is_told_how_to_mend_both() {
    if fs::exists("/dev/snd").unwrap_or(false) {
        skip("this machine has sound hardware, which the test must not find");
        return;
    }
    let server = format!("127.0.0.1:{}", free_port());
    let output = doctor(&["--server", &server], &silence());
    assert_eq!(output.code, Some(1), "{}", output.stdout);
    assert_eq!(output.stderr, "", "libraries chatter");
    for words in [
        "pulseaudio is not running",
        "start the audio server: systemctl --user start",
        "FAIL  devices",
        "skip  microphone",
        &format!("nobody listens at {server}"),
        &format!("fix: start a server on this machine: server --listen {server}"),
        "skip  call",
        "Not ready for calls: devices, server failed",
    ] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    let output = doctor(&["--server", &server, "--json"], &silence());
    let json = parsed(&output);
    assert_eq!(check(&json, "devices")["status"], "fail");
    assert_eq!(
        command(&json, "server"),
        format!("server --listen {server}")
    );
    assert!(
        output.stderr.contains("nobody listens"),
        "{}",
        output.stderr
    );
}

#[test]
fn an_unknown_audio_host_is_wrong_usage() {
    let output = doctor(&["--audio-host", "gramophone"], &silence());
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("pulseaudio"), "{}", output.stderr);
    assert_eq!(output.stdout, "");
}

#[test]
fn with_devices_and_a_server_all_is_well_and_the_acoustic_loop_is_measured() {
    let Some(rig) = Rig::start() else { return };
    // The air between speaker and microphone: 120 ms of it.
    feed(&rig);
    rig.pactl(&[
        "load-module",
        "module-loopback",
        "source=speaker.monitor",
        "sink=feed",
        "latency_msec=120",
        "adjust_time=0",
    ]);
    let server = Server::start(&[]);
    let output = doctor(
        &["--server", &server.addr().to_string(), "--json"],
        &rig.env(),
    );
    let json = parsed(&output);
    assert_eq!(output.code, Some(0), "{json:#}");
    assert!(
        output.stderr.contains("Ready for calls"),
        "{}",
        output.stderr
    );
    for id in ["audio_hosts", "devices", "health", "server"] {
        assert_eq!(check(&json, id)["status"], "ok", "{json:#}");
    }
    assert_eq!(
        check(&json, "audio_hosts")["figures"]["used_by_calls"],
        "pulseaudio"
    );
    // Nobody speaks: a microphone that gives zeros looks muted.
    assert_eq!(check(&json, "microphone")["figures"]["silent"], true);
    assert!(command(&json, "microphone").contains("pactl set-source-mute"));
    let echo = &check(&json, "acoustic_round_trip")["figures"];
    assert_eq!(echo["heard"], true, "{json:#}");
    let delay = echo["delay_ms"].as_f64().expect("a delay");
    assert!((120.0..450.0).contains(&delay), "{delay} ms");
    let gain = echo["gain_db"].as_f64().expect("a gain");
    assert!(gain.abs() < 3.0, "{gain} dB");
    let call = &check(&json, "call")["figures"];
    assert!(call["round_trip_ms"].as_f64().is_some(), "{json:#}");
    assert!(call["mouth_to_ear_ms"].as_f64().is_some(), "{json:#}");
}

#[test]
fn quiet_is_silent_and_the_microphone_is_heard_all_the_same() {
    let Some(rig) = Rig::start() else { return };
    feed(&rig);
    rig.pactl(&["load-module", "module-sine", "sink=feed", "frequency=300"]);
    let mirror = Mirror::start();
    let addr = mirror.addr().to_string();
    let args = ["doctor", "--quiet", "--json", "--server", &addr];
    let (output, recording) = clean_run(|| {
        let mut softphone = Process::start(bin("softphone"), &args, &rig.env());
        let recording = rig.record(Duration::from_secs(4))?;
        Ok((softphone.wait(LIMIT), recording))
    });
    let json = parsed(&output);
    assert_eq!(output.code, Some(0), "{json:#}");
    assert!(recording.speaker.iter().all(|&sample| sample == 0.0));
    assert!(recording.feed.iter().any(|&sample| sample != 0.0));
    assert_eq!(check(&json, "speaker")["figures"]["audible"], false);
    assert_eq!(check(&json, "acoustic_round_trip")["status"], "skip");
    let microphone = &check(&json, "microphone")["figures"];
    assert_eq!(microphone["silent"], false);
    let (rms, peak) = (&microphone["rms_dbfs"], &microphone["peak_dbfs"]);
    let crest = peak.as_f64().unwrap_or(0.0) - rms.as_f64().unwrap_or(0.0);
    // As of any sine.
    assert!((crest - 3.0).abs() < 0.3, "{microphone:#}");
    // A server of another make tells nothing of its health, and carries calls.
    assert_eq!(check(&json, "health")["status"], "warn");
}

#[test]
fn a_frozen_audio_server_is_found_out_and_not_waited_for() {
    let Some(mut rig) = Rig::start() else { return };
    rig.pulseaudio().signal("STOP");
    let output = doctor(
        &["--json", "--server", &format!("127.0.0.1:{}", free_port())],
        &rig.env(),
    );
    rig.pulseaudio().signal("CONT");
    let json = parsed(&output);
    assert_eq!(output.code, Some(1), "{json:#}");
    let hosts = check(&json, "audio_hosts");
    assert_eq!(hosts["status"], "fail", "{json:#}");
    assert!(
        command(&json, "audio_hosts").contains("restart"),
        "{json:#}"
    );
    assert_eq!(check(&json, "microphone")["status"], "skip");
    // The rest is looked at all the same.
    assert_eq!(check(&json, "server")["status"], "fail");
}

#[test]
fn what_is_no_server_of_calls_is_called_by_its_name() {
    for (answer, word) in [
        (
            Some("HTTP/1.1 400 Bad Request\r\n\r\n"),
            "does not speak gRPC",
        ),
        (None, "said nothing for 4 s"),
    ] {
        let addr = listener(answer);
        let output = doctor(&["--json", "--server", &addr.to_string()], &silence());
        let json = parsed(&output);
        assert_eq!(output.code, Some(1), "{json:#}");
        assert_eq!(check(&json, "server")["status"], "ok");
        let health = check(&json, "health");
        assert_eq!(health["status"], "fail");
        let message = health["message"].as_str().unwrap_or_default();
        assert!(message.contains(word), "{message}");
        assert!(command(&json, "health").contains("--server"));
        assert_eq!(check(&json, "call")["status"], "skip");
    }
}

/// A sink whose sound goes into the rig's microphone.
fn feed(rig: &Rig) {
    rig.pactl(&[
        "load-module",
        "module-remap-sink",
        "sink_name=feed",
        "master=cable",
        "remix=no",
        "channels=1",
        "channel_map=mono",
        "master_channel_map=aux0",
    ]);
}

/// Something that takes connections and says `answer` to whatever it is told first, or nothing.
fn listener(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let addr = listener
        .local_addr()
        .expect("a bound socket has an address");
    thread::spawn(move || {
        let mut open = Vec::new();
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            if let Some(answer) = answer {
                // A connection that was only tried says nothing.
                let _ = connection.read(&mut [0; 1024]);
                let _ = std::io::Write::write_all(&mut connection, answer.as_bytes());
            } else {
                open.push(connection);
            }
        }
    });
    addr
}
