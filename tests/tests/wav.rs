//! `softphone --source FILE.wav`: what the far end hears of each kind of file, and what is refused.

use std::{f64::consts::TAU, fs, net::SocketAddr, path::Path, thread, time::Duration};

use audio::Wav;
use tests::{
    Output, Process, Server,
    analysis::{dominant_frequency, rms_dbfs},
    bin,
    proxy::Proxy,
    run,
    signals::{read_wav, tone},
    wav_variants::{WavVariant, wav_variants},
};

/// Far more than anything here needs; a hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

const RATE: u32 = 48_000;

const GOOD: i32 = 0;
const USAGE: i32 = 2;

/// The tone in each file: every rate and codec carries it, and the level is none that one gets by
/// reading another encoding.
const HZ: f64 = 1_000.0;
const PEAK: f64 = 0.25;
const SECONDS: f64 = 0.8;

fn variants() -> Vec<WavVariant> {
    wav_variants(SECONDS, |t| PEAK * (TAU * HZ * t).sin())
}

/// Whether the middle of what is heard is the tone.
fn is_the_tone(heard: &[f32], rate: u32) -> Result<(), String> {
    let expected_dbfs = 20.0 * (PEAK / 2f64.sqrt()).log10();
    let (hz, dbfs) = (dominant_frequency(heard, rate), rms_dbfs(heard));
    match (hz - HZ).abs() < 5.0 && (dbfs - expected_dbfs).abs() < 0.5 {
        true => Ok(()),
        false => Err(format!(
            "{hz:.1} Hz at {dbfs:.1} dBFS, not {HZ} at {expected_dbfs:.1}"
        )),
    }
}

fn softphone(args: &[&str]) -> Output {
    run(bin("softphone"), args, None, LIMIT)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of plain letters")
}

#[test]
fn each_kind_of_file_holds_the_tone() {
    for WavVariant { name, file } in variants() {
        let wav = Wav::parse(file).unwrap_or_else(|error| panic!("{name}: {error}"));
        let seconds = wav.samples_per_channel() as f64 / f64::from(wav.sample_rate_hz());
        assert!((seconds - SECONDS).abs() < 0.001, "{name}: {seconds} s");
        let mut samples = Vec::new();
        wav.append(0, usize::MAX, &mut samples);
        let left: Vec<f32> = samples
            .iter()
            .copied()
            .step_by(wav.channels().into())
            .collect();
        if let Err(what) = is_the_tone(&left, wav.sample_rate_hz()) {
            panic!("{name}: {what}");
        }
    }
}

#[test]
fn the_far_end_hears_the_tone_of_each_kind_of_file() {
    let server = Server::start(&[]);
    let addr = server.addr().to_string();
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let variants: Vec<_> = variants().into_iter().enumerate().collect();
    let judge = |number: usize, variant: &WavVariant| {
        let [source, sink] =
            ["said", "heard"].map(|name| dir.path().join(format!("{name}{number}.wav")));
        fs::write(&source, &variant.file).expect("the directory can be written to");
        let args = [
            "--server",
            &addr,
            "--codec",
            "pcm",
            "--frame-ms",
            "20",
            "--effects",
            "none",
        ];
        let files = ["--source", text(&source), "--sink", text(&sink)];
        let output = softphone(&[&args[..], &files].concat());
        assert_eq!(output.code, Some(GOOD), "{}: {output:?}", variant.name);
        let heard = read_wav(&sink);
        let onset = heard.iter().position(|sample| sample.abs() > 0.05);
        let onset = onset.unwrap_or_else(|| panic!("{}: silence", variant.name));
        // Not its ends, which resamplers and a late beginning may touch.
        let middle = &heard[onset + RATE as usize / 5..][..RATE as usize * 2 / 5];
        if let Err(what) = is_the_tone(middle, RATE) {
            panic!("{}: {what}", variant.name);
        }
    };
    // A few at a time: this is not a test of the machine.
    for some in variants.chunks(4) {
        thread::scope(|scope| {
            for (number, variant) in some {
                let judge = &judge;
                scope.spawn(move || judge(*number, variant));
            }
        });
    }
}

#[test]
fn a_file_that_is_not_played_is_refused_before_anybody_is_called() {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let good = variants().swap_remove(1).file;
    let edited = |place: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[place..place + bytes.len()].copy_from_slice(bytes);
        file
    };
    for (file, what, remedy) in [
        (vec![], "it is no WAV file", "ffmpeg"),
        (b"ID3 and music".to_vec(), "it is no WAV file", "ffmpeg"),
        (
            good[..1_000].to_vec(),
            "it is cut short",
            "copy or record it again",
        ),
        (
            good[..44].to_vec(),
            "it is cut short",
            "copy or record it again",
        ),
        (
            edited(4, &[0xFF; 36])[..30].to_vec(),
            "no WAV file",
            "ffmpeg",
        ),
        (
            edited(16, &[0xFF; 4]),
            "\"fmt \" reaches beyond the end",
            "copy or record it again",
        ),
        (edited(22, &[0, 0]), "0 channels", "ffmpeg"),
        (edited(24, &[0xFF; 4]), "4294967295 Hz", "ffmpeg"),
        (edited(20, &[0x31, 0]), "GSM 6.10", "ffmpeg"),
        (
            edited(40, &[0xFF, 0xFF, 0xFE, 0x7F]),
            "2147418111 bytes",
            "again",
        ),
    ] {
        let path = dir.path().join("wrong.wav");
        fs::write(&path, file).expect("the directory can be written to");
        let output = softphone(&["--source", text(&path), "--sink", "null"]);
        assert_eq!(output.code, Some(USAGE), "{what}: {output:?}");
        for words in ["wrong.wav: ", what, remedy] {
            assert!(output.stderr.contains(words), "{words}: {output:?}");
        }
    }
}

#[test]
fn a_file_too_large_for_memory_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let path = dir.path().join("long.wav");
    fs::write(&path, &variants().swap_remove(1).file[..44]).expect("written");
    // A file of holes.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .expect("it is there");
    file.set_len(5 << 30).expect("a file may have holes");
    let output = softphone(&["--source", text(&path), "--sink", "null"]);
    assert_eq!(output.code, Some(USAGE), "{output:?}");
    assert!(
        output.stderr.contains("cut it into shorter files"),
        "{output:?}"
    );
}

// ---- a file waits for the line ----

/// The words of a prompt, each a tone of a quarter of a second, from the first sample on.
const WORDS_HZ: [f64; 5] = [400.0, 800.0, 1_200.0, 1_600.0, 2_000.0];
const WORD_SECONDS: f64 = 0.25;

fn write_prompt(path: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("created");
    for sample in WORDS_HZ.iter().flat_map(|hz| tone(*hz, WORD_SECONDS, 0.3)) {
        writer
            .write_sample((sample * 32_767.0) as i16)
            .expect("written");
    }
    writer.finalize().expect("written");
}

/// For how many seconds each word is heard.
fn words_heard(heard: &[f32]) -> [f64; 5] {
    let step = RATE as usize / 100;
    let windows = heard.windows(2 * step).step_by(step);
    let loud: Vec<f64> = windows
        .filter(|window| rms_dbfs(window) > -20.0)
        .map(|window| dominant_frequency(window, RATE))
        .collect();
    WORDS_HZ.map(|hz| {
        loud.iter()
            .filter(|heard| (*heard - hz).abs() < 40.0)
            .count() as f64
            / 100.0
    })
}

/// A call that plays a prompt to a server, which returns it; `meanwhile` happens once it is calling.
fn the_whole_prompt_is_heard(server: SocketAddr, meanwhile: impl FnOnce()) {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let [said, heard] = ["said.wav", "heard.wav"].map(|name| dir.path().join(name));
    write_prompt(&said);
    let addr = server.to_string();
    // PCM would fill the windows of so long a line.
    let args = ["--server", &addr, "--frame-ms", "20", "--effects", "none"];
    let files = ["--json", "--source", text(&said), "--sink", text(&heard)];
    let mut process = Process::start(bin("softphone"), &[&args[..], &files].concat(), &[]);
    process.wait_for_stderr("calling", LIMIT);
    meanwhile();
    let output = process.wait(LIMIT);
    assert_eq!(output.code, Some(GOOD), "{output:?}");
    let words = words_heard(&read_wav(&heard));
    // The jitter buffer may play some of them faster or more slowly.
    let is_whole = |seconds: &f64| *seconds > 0.75 * WORD_SECONDS;
    assert!(words.iter().all(is_whole), "{words:?} s\n{output:?}");
}

#[test]
fn the_first_word_is_heard_on_a_long_line() {
    let server = Server::start(&[]);
    for one_way in [75, 600] {
        let proxy = Proxy::start_long(server.addr(), Duration::from_millis(one_way));
        the_whole_prompt_is_heard(proxy.addr(), || ());
    }
}

#[test]
fn the_first_word_is_heard_when_connecting_takes_two_seconds() {
    let server = Server::start(&[]);
    let proxy = Proxy::start(server.addr());
    proxy.freeze();
    the_whole_prompt_is_heard(proxy.addr(), || {
        thread::sleep(Duration::from_secs(2));
        proxy.thaw();
    });
}
