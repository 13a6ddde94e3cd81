//! `softphone --record` and `--sink FILE.wav`: what is in the file, and what becomes of it on a bad day.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::{TempDir, tempdir};
use tests::{
    Output, Process, Server,
    analysis::{dominant_frequency, rms_dbfs},
    bin, run,
    signals::{chirp, read_wav},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const RATE: u32 = 48_000;

const GOOD: i32 = 0;
const USAGE: i32 = 2;
const NO_CONNECTION: i32 = 3;
const NOT_WRITTEN: i32 = 7;

fn directory() -> TempDir {
    tempdir().expect("the system has a directory for temporary files")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain letters")
}

/// A call with `--json` to `server`, and what it answered.
fn call(server: &Server, args: &[&str]) -> (Output, Value) {
    let address = server.addr().to_string();
    let args = [&["--json", "--server", &address], args].concat();
    let output = run(bin("softphone"), &args, None, LIMIT);
    let figures = serde_json::from_str(&output.stdout)
        .unwrap_or_else(|error| panic!("stdout is not one JSON value: {error}\n{output:?}"));
    (output, figures)
}

/// Left and right of a recording.
fn sides(path: &Path) -> [Vec<i16>; 2] {
    let mut reader = hound::WavReader::open(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    assert_eq!(
        (reader.spec().channels, reader.spec().sample_rate),
        (2, RATE)
    );
    let samples: Vec<i16> = reader
        .samples()
        .map(|sample| sample.expect("as many samples as the header says"))
        .collect();
    [0, 1].map(|side| samples.iter().skip(side).step_by(2).copied().collect())
}

fn floats(samples: &[i16]) -> Vec<f32> {
    samples
        .iter()
        .map(|&sample| f32::from(sample) / 32_768.0)
        .collect()
}

fn write_wav(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("the directory can be written to");
    for &sample in samples {
        writer.write_sample(sample).expect("the disk has room");
    }
    writer.finalize().expect("the disk has room");
}

#[test]
fn left_is_what_was_said_and_right_what_was_played_to_the_sample() {
    let server = Server::start(&[]);
    let dir = directory();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let (said, played, recorded) = (path("said.wav"), path("played.wav"), path("recorded.wav"));
    // Every moment of a chirp is unlike every other.
    let spoken: Vec<i16> = chirp(300.0, 3_000.0, 3.0, 0.3)
        .iter()
        .map(|sample| (sample * 32_768.0).round() as i16)
        .collect();
    write_wav(&said, &spoken);
    let args = ["--source", text(&said), "--sink", text(&played)];
    let args = [
        &args[..],
        &["--effects", "none", "--record", text(&recorded)],
    ]
    .concat();
    let (output, figures) = call(&server, &args);
    assert_eq!(output.code, Some(GOOD), "{output:?}");

    let [left, right] = sides(&recorded);
    // The file waited for the line.
    let begin = left.iter().position(|&sample| sample != 0).expect("sound");
    let begin = begin
        - spoken
            .iter()
            .position(|&sample| sample != 0)
            .expect("sound");
    assert_eq!(
        left[begin..][..spoken.len()],
        spoken,
        "left is not what was said"
    );
    let played: Vec<i16> = read_wav(&played)
        .iter()
        .map(|sample| (sample * 32_768.0) as i16)
        .collect();
    assert!(rms_dbfs(&floats(&played)) > -30.0, "nothing was played");
    assert_eq!(
        right[..played.len()],
        played,
        "right is not what was played"
    );
    // The last digit of a number that was written and read again may be another.
    let recorded_s = figures["recording"]["duration_s"].as_f64();
    let recorded = recorded_s.expect("seconds") * f64::from(RATE);
    assert_eq!(recorded.round() as usize, left.len());
    assert_eq!(figures["recording"]["failure"], Value::Null);
}

#[test]
fn a_synthetic_call_is_recorded_with_the_delay_that_it_has() {
    let server = Server::start(&[]);
    let dir = directory();
    let recorded = dir.path().join("recorded.wav");
    let args = [
        "--synthetic",
        "--duration",
        "3s",
        "--record",
        text(&recorded),
    ];
    let (output, figures) = call(&server, &args);
    assert!(
        output.stderr.contains("you left, the far end right"),
        "{output:?}"
    );

    let [left, right] = sides(&recorded).map(|side| floats(&side));
    assert!((2.8..4.5).contains(&(left.len() as f64 / f64::from(RATE))));
    for side in [&left, &right] {
        let middle = &side[RATE as usize..2 * RATE as usize];
        let hz = dominant_frequency(middle, RATE);
        assert!((hz - 440.0).abs() < 1.0, "{hz} Hz");
        let dbfs = rms_dbfs(middle);
        assert!((-24.0..-22.0).contains(&dbfs), "{dbfs} dBFS");
    }
    let onset = |side: &[f32]| side.iter().position(|sample| sample.abs() > 0.01);
    let (left, right) = (
        onset(&left).expect("a tone"),
        onset(&right).expect("a tone"),
    );
    assert!(
        left < 20,
        "the tone begins at once, not after {left} samples"
    );
    let lag_ms = (right - left) as f64 * 1e3 / f64::from(RATE);
    let worst_ms = figures["delay_ms"]["worst"].as_f64().expect("it is known");
    assert!((5.0..=worst_ms + 500.0).contains(&lag_ms), "{lag_ms} ms");
}

#[test]
fn an_existing_file_is_overwritten_only_by_force() {
    let server = Server::start(&[]);
    let dir = directory();
    let recorded = dir.path().join("recorded.wav");
    fs::write(&recorded, "dear").expect("the directory can be written to");
    let args = [
        "--synthetic",
        "--duration",
        "1s",
        "--record",
        text(&recorded),
    ];
    let (output, figures) = call(&server, &args);
    assert_eq!(output.code, Some(USAGE), "{output:?}");
    let message = figures["message"].as_str().expect("a sentence");
    assert!(message.contains("exists already; --force"), "{message}");
    assert_eq!(fs::read(&recorded).expect("it is still there"), b"dear");

    let (output, _) = call(&server, &[&args[..], &["--force"]].concat());
    assert_ne!(output.code, Some(USAGE), "{output:?}");
    let [left, _] = sides(&recorded);
    assert!(left.len() > RATE as usize / 2, "{}", left.len());
}

#[test]
fn what_is_sent_or_played_is_not_overwritten_even_by_force() {
    let server = Server::start(&[]);
    let dir = directory();
    let said = dir.path().join("said.wav");
    write_wav(&said, &[1_000; 4_800]);
    let before = fs::read(&said).expect("just written");
    let args = [
        "--source",
        text(&said),
        "--sink",
        "null",
        "--force",
        "--record",
    ];
    let (output, figures) = call(&server, &[&args[..], &[text(&said)]].concat());
    assert_eq!(output.code, Some(USAGE), "{output:?}");
    let message = figures["message"].as_str().expect("a sentence");
    assert!(message.contains("--record and --source"), "{message}");
    assert_eq!(fs::read(&said).expect("it is still there"), before);
}

#[test]
fn a_call_that_is_killed_leaves_a_recording_to_the_last_second() {
    let server = Server::start(&[]);
    let address = server.addr().to_string();
    let dir = directory();
    let recorded = dir.path().join("recorded.wav");
    let args = ["--synthetic", "--duration", "50s", "--server", &address];
    let args = [&args[..], &["--record", text(&recorded)]].concat();
    let mut softphone = Process::start(bin("softphone"), &args, &[]);
    // Three seconds of sound, by the size of the file.
    let wanted = 3 * u64::from(RATE) * 4;
    let deadline = Instant::now() + LIMIT;
    let bytes = || fs::metadata(&recorded).map_or(0, |file| file.len());
    while bytes() < wanted {
        assert!(Instant::now() < deadline, "it does not grow: {softphone}");
        std::thread::sleep(Duration::from_millis(20));
    }
    softphone.signal("KILL");
    softphone.wait(LIMIT);

    let [left, right] = sides(&recorded);
    let seconds = left.len() as f64 / f64::from(RATE);
    assert!(
        seconds >= bytes() as f64 / 4.0 / f64::from(RATE) - 1.0,
        "{seconds} s"
    );
    assert!(seconds >= 2.0, "{seconds} s");
    for side in [left, right] {
        let end = floats(&side[side.len() - RATE as usize / 2..]);
        assert!((dominant_frequency(&end, RATE) - 440.0).abs() < 2.0);
    }
}

#[test]
fn a_disk_that_is_full_ends_the_recording_and_not_the_call() {
    let server = Server::start(&[]);
    let dir = directory();
    let recorded = dir.path().join("recorded.wav");
    // As little of a disk as a shell can give: files of 256 KiB (1.4 s), and an error behind that
    // instead of a signal.
    let script = "trap '' XFSZ; ulimit -f 512; exec \"$@\"";
    let softphone = bin("softphone");
    let address = server.addr().to_string();
    let args = [
        "-c",
        script,
        "sh",
        text(&softphone),
        "--json",
        "--synthetic",
    ];
    let rest = ["--duration", "4s", "--server", &address, "--record"];
    let args = [&args[..], &rest, &[text(&recorded)]].concat();
    let output = run("/bin/sh", &args, None, LIMIT);
    let figures: Value = serde_json::from_str(&output.stdout).expect("one JSON value");
    assert!(
        output.stderr.contains("not all is recorded: "),
        "{output:?}"
    );
    assert!(output.stderr.contains("the call goes on"), "{output:?}");
    ended_not_written(&output, &figures);
    assert!(figures["duration_s"].as_f64() > Some(3.9), "{figures:#}");
    let [left, _] = sides(&recorded);
    let seconds = left.len() as f64 / f64::from(RATE);
    assert!((0.4..1.5).contains(&seconds), "{seconds} s");
}

#[test]
fn a_directory_that_is_removed_ends_the_recording_and_not_the_call() {
    let server = Server::start(&[]);
    let dir = directory();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).expect("the directory can be written to");
    let recorded = inner.join("recorded.wav");
    let address = server.addr().to_string();
    let args = [
        "--json",
        "--synthetic",
        "--duration",
        "4s",
        "--server",
        &address,
    ];
    let args = [&args[..], &["--record", text(&recorded)]].concat();
    let mut softphone = Process::start(bin("softphone"), &args, &[]);
    softphone.wait_for_stderr("connected", LIMIT);
    fs::remove_dir_all(&inner).expect("it can be removed");
    softphone.wait_for_stderr("the file was removed; the call goes on", LIMIT);
    let output = softphone.wait(LIMIT);
    let figures: Value = serde_json::from_str(&output.stdout).expect("one JSON value");
    ended_not_written(&output, &figures);
}

#[test]
fn a_place_that_cannot_be_written_is_refused_before_the_call() {
    let server = Server::start(&[]);
    let args = ["--synthetic", "--record", "/nowhere/at/all.wav"];
    let (output, figures) = call(&server, &args);
    assert_eq!(output.code, Some(USAGE), "{output:?}");
    let message = figures["message"].as_str().expect("a sentence");
    assert!(
        message.contains("/nowhere/at/all.wav cannot be created"),
        "{message}"
    );
}

// ---- what was there before ----

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it can be read");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("a plain name"))
        .collect();
    names.sort();
    names
}

#[test]
fn where_nobody_answers_what_was_there_stays_and_nothing_new_is_left() {
    let nobody = format!("127.0.0.1:{}", tests::free_port());
    for flags in [&["--sink"][..], &["--sink", "null", "--force", "--record"]] {
        let dir = directory();
        let [old, new] = ["old.wav", "new.wav"].map(|name| dir.path().join(name));
        fs::write(&old, "dear").expect("the directory can be written to");
        for file in [&old, &new] {
            let args = ["--source", "tone", "--server", &nobody];
            let args = [&args[..], flags, &[text(file)]].concat();
            let output = run(bin("softphone"), &args, None, LIMIT);
            assert_eq!(output.code, Some(NO_CONNECTION), "{output:?}");
        }
        assert_eq!(fs::read(&old).expect("it is still there"), b"dear");
        assert_eq!(names(dir.path()), ["old.wav"], "{flags:?}");
    }
}

#[test]
fn a_call_that_is_refused_for_another_reason_leaves_nothing_either() {
    let dir = directory();
    let [old, new] = ["old.wav", "new.wav"].map(|name| dir.path().join(name));
    fs::write(&old, "dear").expect("the directory can be written to");
    let files = ["--sink", text(&new), "--record", text(&old)];
    let args = [&["--source", "tone"][..], &files].concat();
    let output = run(bin("softphone"), &args, None, LIMIT);
    assert_eq!(output.code, Some(USAGE), "{output:?}");
    assert_eq!(names(dir.path()), ["old.wav"]);
}

/// A call of a tone that is under way, and plays into this file.
fn tone_into(sink: &Path, server: &Server) -> Process {
    let address = server.addr().to_string();
    let args = ["--source", "tone", "--server", &address];
    let args = [&args[..], &["--sink", text(sink)]].concat();
    let softphone = Process::start(bin("softphone"), &args, &[]);
    softphone.wait_for_stdout("connected", LIMIT);
    softphone
}

#[test]
fn a_new_file_takes_the_place_of_the_old_one_at_the_end() {
    let server = Server::start(&[]);
    let dir = directory();
    let heard = dir.path().join("heard.wav");
    fs::write(&heard, "dear").expect("the directory can be written to");
    let mut softphone = tone_into(&heard, &server);
    grows_to(dir.path(), u64::from(RATE) * 2, &softphone);
    assert_eq!(fs::read(&heard).expect("it is still there"), b"dear");
    softphone.signal("INT");
    let output = softphone.wait(LIMIT);
    assert_eq!(output.code, Some(GOOD), "{output:?}");
    assert!(read_wav(&heard).len() > RATE as usize / 2);
    assert_eq!(names(dir.path()), ["heard.wav"]);
}

/// Waits until the files of a directory are of this size together, and returns the path of the largest.
fn grows_to(directory: &Path, bytes: u64, softphone: &Process) -> PathBuf {
    let deadline = Instant::now() + LIMIT;
    loop {
        let sizes = names(directory).into_iter().map(|name| {
            let path = directory.join(name);
            (fs::metadata(&path).map_or(0, |file| file.len()), path)
        });
        let (size, path) = sizes.max().unwrap_or_default();
        if size >= bytes {
            return path;
        }
        assert!(Instant::now() < deadline, "it does not grow: {softphone}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_call_that_is_killed_leaves_what_was_heard_to_the_last_second() {
    let server = Server::start(&[]);
    for is_new in [true, false] {
        let dir = directory();
        let heard = dir.path().join("heard.wav");
        if !is_new {
            fs::write(&heard, "dear").expect("the directory can be written to");
        }
        let mut softphone = tone_into(&heard, &server);
        let file = grows_to(dir.path(), 3 * u64::from(RATE) * 2, &softphone);
        softphone.signal("KILL");
        softphone.wait(LIMIT);

        assert_eq!(file == heard, is_new, "{}", file.display());
        let bytes = fs::metadata(&file).expect("it is there").len();
        let samples = read_wav(&file);
        let missing = bytes as f64 / 2.0 - samples.len() as f64;
        assert!(
            missing < f64::from(RATE),
            "{missing} samples are not in its header"
        );
        let end = &samples[samples.len() - RATE as usize / 2..];
        assert!((dominant_frequency(end, RATE) - 440.0).abs() < 2.0);
        if !is_new {
            assert_eq!(fs::read(&heard).expect("it is still there"), b"dear");
        }
    }
}

#[test]
fn a_full_disk_under_what_is_heard_is_an_exit_code() {
    let server = Server::start(&[]);
    let dir = directory();
    let heard = dir.path().join("heard.wav");
    // 128 KiB: 1.4 s.
    let script = "trap '' XFSZ; ulimit -f 256; exec \"$@\"";
    let softphone = bin("softphone");
    let address = server.addr().to_string();
    let args = ["-c", script, "sh", text(&softphone), "--source", "tone"];
    let rest = [
        "--duration",
        "3s",
        "--server",
        &address,
        "--sink",
        text(&heard),
    ];
    let output = run("/bin/sh", &[&args[..], &rest].concat(), None, LIMIT);
    assert_eq!(output.code, Some(NOT_WRITTEN), "{output:?}");
    assert!(output.stdout.contains("the call goes on"), "{output:?}");
    assert!(
        output.stderr.contains("not all of the call is in"),
        "{output:?}"
    );
    let seconds = read_wav(&heard).len() as f64 / f64::from(RATE);
    assert!((0.4..1.5).contains(&seconds), "{seconds} s");
}

/// A machine that is busy may also make the tone imperfect, which then is the graver fault.
fn ended_not_written(output: &Output, figures: &Value) {
    assert!(figures["recording"]["failure"].is_string(), "{figures:#}");
    let message = figures["message"].as_str().expect("a sentence");
    if message.contains("concealed") || message.contains("missing") {
        println!("not wholly judged: {message}");
        return;
    }
    assert_eq!(output.code, Some(NOT_WRITTEN), "{output:?}");
    assert!(message.contains("not all of the call is in"), "{message}");
}

#[test]
fn ones_own_voice_is_kept_where_nobody_answered_and_replaces_nothing() {
    let mut server = Server::start(&[]);
    let address = server.addr().to_string();
    // The kernel still takes connections for it, and what is sent on them.
    server.process().signal("STOP");
    for is_new in [true, false] {
        let dir = directory();
        let recorded = dir.path().join("recorded.wav");
        if !is_new {
            fs::write(&recorded, "dear").expect("the directory can be written to");
        }
        let args = ["--source", "tone", "--sink", "null", "--server", &address];
        let args = [&args[..], &["--force", "--record", text(&recorded)]].concat();
        let mut softphone = Process::start(bin("softphone"), &args, &[]);
        let file = grows_to(dir.path(), u64::from(RATE), &softphone);
        softphone.signal("INT");
        std::thread::sleep(Duration::from_millis(300));
        softphone.signal("INT");
        let output = softphone.wait(LIMIT);
        assert_eq!(file == recorded, is_new, "{output:?}");
        let [left, _] = sides(&file);
        assert!(left.len() > RATE as usize / 4, "{}", left.len());
        if is_new {
            assert!(output.stderr.contains("s recorded to"), "{output:?}");
        } else {
            assert_eq!(fs::read(&recorded).expect("it is still there"), b"dear");
            assert!(output.stderr.contains(text(&file)), "{output:?}");
        }
    }
}
