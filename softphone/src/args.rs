//! The command line of `softphone`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use audio::{Codec, Effects};
use clap::{Args as ClapArgs, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use line::Impairment;

use proto::{ServerAddress, callcenter::Alone, text::is_carried};
use tracing_subscriber::EnvFilter;

use crate::engine::near_end_choice::{EchoChoice, NearEndChoice, Switch};

/// Speak into a call: microphone to server to speaker.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "softphone",
    version,
    about,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        softphone                                  speak to the server on this machine\n  \
        softphone --server 192.168.1.20            to one on the local network\n  \
        softphone --call support --name Ada        to whoever else is in the call \"support\"\n  \
        softphone --source hello.wav --sink answer.wav\n  \
        softphone --synthetic --duration 5s        check the line without a sound card\n  \
        softphone --synthetic --virtual-time --impair jitter=15ms,stall=2s@10s --duration 1m\n  \
        softphone devices                          list microphones and speakers\n  \
        softphone doctor                           find out what keeps a call from working\n\n\
        Exit codes: 0 good, 2 usage (also: no such device), 3 no connection, 4 rejected by the \
        server, 5 no audio (also: no working device), 6 wrong audio, 7 what was \
        asked for (figures, a recording, a list, this help) could not be written"
)]
pub struct Args {
    /// What to do instead of a call.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The call.
    #[command(flatten)]
    pub call: CallArgs,

    /// Print a script that completes this program's arguments in a shell, and end.
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completions: Option<Shell>,
}

impl Args {
    /// The script with which a shell completes the arguments.
    pub fn completions(shell: Shell) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "softphone", &mut script);
        script
    }
}

/// What a softphone does beside calling.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// List microphones and speakers. Exit codes: 0 good (also: there is none), 2 usage, 7 the list
    /// could not be written.
    Devices {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check everything that a call needs, and say how to mend what fails.
    Doctor(DoctorArgs),
}

/// What the doctor looks at.
#[derive(Debug, Clone, ClapArgs)]
#[command(
    after_help = "Looks at audio hosts, devices, mutes and volumes, microphone, speaker, the way of \
    sound between them, real-time threads, the server and a call of one second, ten seconds each at \
    most. It plays a short quiet tone and three chirps.\n\n\
    Examples:\n  \
        softphone doctor                           this machine, and a server on it\n  \
        softphone doctor --server 192.168.1.20     and a server elsewhere\n  \
        softphone doctor --quiet --json            for scripts, without a sound\n\n\
    Exit codes: 0 no required check failed, 1 one did, 2 usage (also: no such audio host), 7 what was \
    found could not be written"
)]
pub struct DoctorArgs {
    /// Where the server is.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:50051")]
    pub server: ServerAddress,

    /// Audio system: pipewire, pulseaudio, alsa ... ("softphone devices" lists them). [default: the best
    /// that works]
    #[arg(long, value_name = "NAME")]
    pub audio_host: Option<String>,

    /// Microphone: a name, or an unambiguous part of one. [default: the system's]
    #[arg(long, value_name = "NAME")]
    pub input: Option<String>,

    /// Speaker, likewise.
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,

    /// Play nothing: the speaker is opened and given silence, the acoustic loop is left out.
    #[arg(long)]
    pub quiet: bool,

    /// Print JSON on stdout when all is checked; the findings in words go to stderr.
    #[arg(long)]
    pub json: bool,
}

/// Everything about one call.
#[derive(Debug, Clone, ClapArgs)]
pub struct CallArgs {
    /// Where the server is.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1:50051")]
    pub server: ServerAddress,

    /// The call to take part in: whoever names the same one is heard there. [default: a new one, whose far
    /// end is the server's echo]
    #[arg(long, value_name = "ID")]
    pub call: Option<String>,

    /// What the others in the call are shown.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true, value_parser = party_name)]
    pub name: String,

    /// What is heard while nobody else is in the call. [default: silence with --call, else
    /// echo]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub alone: Option<AloneChoice>,

    /// How the sound travels: opus (48 kHz), pcm (48 kHz), pcmu or pcma (8 kHz).
    #[arg(long, value_name = "CODEC", default_value = "opus", value_parser = Codec::parse)]
    pub codec: Codec,

    /// Sound in each chunk: less is less delay, more is less traffic.
    #[arg(long = "frame-ms", value_name = "MS", default_value = "10", value_parser = frame_length)]
    pub frame: Duration,

    /// Bits per second of the Opus encoder, 6k to 510k: 64k is 64000.
    #[arg(long, value_name = "BITS", default_value_t = audio::codec::DEFAULT_BITRATE,
          value_parser = bitrate)]
    pub bitrate: u32,

    /// Processing of this leg by the server: a comma list of highpass, denoise, agc, limiter,
    /// delay[=MILLISECONDS]; or none. [default: the server's; with --call or --synthetic: none]
    #[arg(long, value_name = "LIST", value_parser = Effects::parse)]
    pub effects: Option<Effects>,

    /// Remove the loudspeaker's echo from the microphone, at the price of 9 ms. auto: where the
    /// microphone is found to hear the speaker.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub aec: EchoChoice,

    /// Do not begin a call on new devices with the short tone that tells whether the microphone
    /// hears the speaker; the call itself tells after a second or two.
    #[arg(long)]
    pub no_tone: bool,

    /// Remove steady noise here, at the price of 6 ms, rather than at the server, which does not in a call
    /// with others.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub ns: Switch,

    /// Raise quiet speech here rather than at the server, likewise.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub agc: Switch,

    /// Microphone: a name, or an unambiguous part of one. While it is away the system's takes its
    /// place. [default: the system's, wherever that goes]
    #[arg(long, value_name = "NAME")]
    pub input: Option<String>,

    /// Speaker, likewise.
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,

    /// Audio system: pipewire, pulseaudio, alsa ... ("softphone devices" lists them). [default: the best
    /// that works]
    #[arg(long, value_name = "NAME")]
    pub audio_host: Option<String>,

    /// Hang up after this time, such as 5s or 2m. [default: when told to; with --synthetic: 5s;
    /// with a WAV file as source: at its end]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,

    /// Where the sound comes from: mic, tone, or a WAV file.
    #[arg(long, value_name = "SOURCE", default_value = "mic", value_parser = source)]
    pub source: Source,

    /// Where the answer goes to: speaker, null, or a WAV file to write.
    #[arg(long, value_name = "SINK", default_value = "speaker", value_parser = sink)]
    pub sink: Sink,

    /// Record the call while it lasts: a stereo WAV file, you left, the far end right as you hear it.
    #[arg(long, value_name = "FILE.wav", value_parser = record, conflicts_with = "virtual_time")]
    pub record: Option<PathBuf>,

    /// Let --record overwrite a file that exists.
    #[arg(long, requires = "record")]
    pub force: bool,

    /// A call without devices: a tone for a microphone, a detector for an ear. Good only if the
    /// tone comes back as it was sent, with at most 1 % concealed (60 ms in a short call) and nothing over
    /// 60 ms missing.
    #[arg(long, conflicts_with_all = ["source", "sink", "input", "output", "audio_host"])]
    pub synthetic: bool,

    /// With --synthetic: nothing at all may be missing or concealed.
    #[arg(long, requires = "synthetic")]
    pub strict: bool,

    /// With --synthetic: a call without a server, to an echo in this program, on a clock that runs
    /// as fast as the machine can. The same arguments give the same figures.
    #[arg(long, requires = "synthetic", conflicts_with_all = ["server", "call"])]
    pub virtual_time: bool,

    /// With --virtual-time: how bad the line is, each way. A comma list of delay=20ms, jitter=15ms
    /// (standard deviation), stall=2s@10s (a length at a time; may be repeated), stall-every=300ms/5s,
    /// ppm=200 (the speaker's clock against the microphone's) and seed=7; or none. Stalls strike both
    /// directions at once; jitter differs. What the stalls themselves take is not held against the
    /// call, but what becomes late after them is.
    #[arg(long, value_name = "LINE", requires = "virtual_time")]
    pub impair: Option<Impairment>,

    /// Frequency of the tone.
    #[arg(long, value_name = "HZ", default_value_t = 440.0, value_parser = tone_hz)]
    pub tone: f32,

    /// Print the call's figures as JSON on stdout when it is over; all else goes to stderr. Their
    /// schema is docs/softphone-json.schema.json.
    #[arg(long)]
    pub json: bool,

    /// Print a line of JSON on stdout each second of the call, and the call's figures as the last
    /// one; all else goes to stderr. A reader who is too slow misses lines, never the last.
    #[arg(long, conflicts_with_all = ["json", "virtual_time"])]
    pub json_lines: bool,

    /// What to log, on stderr: error, warn, info, debug. [default: RUST_LOG, or error]
    // By itself the PulseAudio library calls it an error when we hang up.
    #[arg(long, value_name = "FILTER", env = "RUST_LOG", hide_env = true, default_value = "error,pulseaudio=off", hide_default_value = true, value_parser = log_filter)]
    pub log: String,
}

impl CallArgs {
    /// The near end's processing that was asked for.
    pub fn near_end(&self) -> NearEndChoice {
        NearEndChoice {
            echo: self.aec,
            noise_suppression: self.ns,
            gain_control: self.agc,
        }
    }

    /// The call that others may be in. An empty name is none.
    pub fn named_call(&self) -> Option<&str> {
        self.call.as_deref().filter(|id| !id.is_empty())
    }

    /// What is heard while nobody else is in the call.
    pub fn alone(&self) -> Alone {
        match (self.alone, self.named_call()) {
            (Some(AloneChoice::Silence), _) => Alone::Silence,
            (Some(AloneChoice::Music), _) => Alone::Music,
            (Some(AloneChoice::Echo), _) | (None, None) => Alone::Echo,
            (None, Some(_)) => Alone::Silence,
        }
    }

    /// Why Opus cannot be sent at this bit rate in packets so short, if it cannot.
    pub fn bitrate_fault(&self) -> Option<String> {
        let frame_s = self.frame.as_secs_f64();
        let bytes = f64::from(self.bitrate) * frame_s / 8.0;
        (self.codec == Codec::Opus && bytes < LEAST_PACKET_BYTES).then(|| {
            let (ms, least) = (frame_s * 1e3, LEAST_PACKET_BYTES * 8.0 / frame_s);
            format!(
                "--bitrate {}: too little for packets of {ms} ms, of which nothing would be heard: \
                 use at least {:.0}k, or longer packets (--frame-ms)",
                self.bitrate,
                (least / 1e3).ceil()
            )
        })
    }

    /// Whether stdout belongs to JSON.
    pub fn wants_json(&self) -> bool {
        self.json || self.json_lines
    }

    /// Whether microphone and speaker are both devices.
    pub fn has_real_devices(&self) -> bool {
        !self.synthetic && self.source == Source::Mic && self.sink == Sink::Speaker
    }
}

/// A name that the server takes.
fn party_name(text: &str) -> Result<String, String> {
    match text.len() {
        ..=64 if is_carried(text) => Ok(text.to_owned()),
        ..=64 => Err("use a name without control characters".to_owned()),
        bytes => Err(format!("that is {bytes} bytes long; use at most 64")),
    }
}

/// What is heard by who is alone in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AloneChoice {
    /// Nothing.
    Silence,
    /// Music of the server's.
    Music,
    /// One's own voice.
    Echo,
}

/// Where the sound comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A microphone.
    Mic,
    /// A steady tone.
    Tone,
    /// A WAV file, played once.
    Wav(PathBuf),
}

impl Source {
    /// The file, where it is one.
    pub fn wav(&self) -> Option<&Path> {
        match self {
            Self::Wav(path) => Some(path),
            Self::Mic | Self::Tone => None,
        }
    }
}

/// Where the answer goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sink {
    /// A speaker.
    Speaker,
    /// Nowhere.
    Null,
    /// A WAV file.
    Wav(PathBuf),
}

impl Sink {
    /// The file, where it is one.
    pub fn wav(&self) -> Option<&Path> {
        match self {
            Self::Wav(path) => Some(path),
            Self::Speaker | Self::Null => None,
        }
    }
}

fn source(text: &str) -> Result<Source, String> {
    match text {
        "mic" => Ok(Source::Mic),
        "tone" => Ok(Source::Tone),
        path => wav_path(path)
            .map(Source::Wav)
            .ok_or_else(|| format!("{path:?} is neither mic nor tone nor a .wav file")),
    }
}

fn sink(text: &str) -> Result<Sink, String> {
    match text {
        "speaker" => Ok(Sink::Speaker),
        "null" => Ok(Sink::Null),
        path => wav_path(path)
            .map(Sink::Wav)
            .ok_or_else(|| format!("{path:?} is neither speaker nor null nor a .wav file")),
    }
}

fn record(text: &str) -> Result<PathBuf, String> {
    wav_path(text).ok_or_else(|| "it must end in .wav, which is what is written".to_owned())
}

fn wav_path(text: &str) -> Option<PathBuf> {
    let path = PathBuf::from(text);
    let extension = path.extension()?.to_ascii_lowercase();
    (extension == "wav").then_some(path)
}

/// The lengths that Opus has.
fn frame_length(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(ms) if [2.5, 5.0, 10.0, 20.0, 40.0, 60.0].contains(&ms) => {
            Ok(Duration::from_secs_f64(ms / 1e3))
        }
        _ => Err("accepted are 2.5, 5, 10, 20, 40 and 60".to_owned()),
    }
}

/// In smaller packets libopus puts no sound.
const LEAST_PACKET_BYTES: f64 = 3.5;

/// What libopus can be told: `64k`, `64kbit` or `64000`, 6,000 to 510,000 bits per second.
fn bitrate(text: &str) -> Result<u32, String> {
    let text = text.trim().to_ascii_lowercase();
    let number = text
        .trim_end_matches("bit/s")
        .trim_end_matches("bps")
        .trim_end_matches("bit")
        .trim_end();
    let bits = match number.strip_suffix('k') {
        Some(thousands) => thousands.trim_end().parse::<f64>().map(|k| k * 1e3),
        None => number.parse::<f64>(),
    };
    match bits {
        Ok(bits) if (6e3..=510e3).contains(&bits) => Ok(bits.round() as u32),
        Ok(bits) if (6.0..=510.0).contains(&bits) => Err(format!(
            "{bits} bits per second; is {bits}k meant? Accepted are 6k to 510k"
        )),
        Ok(_) => Err("accepted are 6k to 510k (6000 to 510000 bits per second)".to_owned()),
        Err(_) => Err("write it like 64k or 64000; accepted are 6k to 510k".to_owned()),
    }
}

/// A filter that the log understands. Also what `RUST_LOG` says, where `--log` is not given.
fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; try info or debug, here or in RUST_LOG")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(Duration::ZERO) => Err("must be longer than nothing".to_owned()),
        Ok(duration) => Ok(duration),
        Err(error) => Err(format!("{error}; write it like 500ms, 5s or 2m")),
    }
}

fn tone_hz(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(hz) if (100.0..=3_400.0).contains(&hz) => Ok(hz),
        _ => Err("accepted are 100 to 3400 Hz, which every codec carries".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn bit_rates_are_read_with_and_without_a_k() {
        for (text, bits) in [
            ("64000", 64_000),
            ("64k", 64_000),
            ("64K", 64_000),
            ("64 kbit/s", 64_000),
            ("24.5k", 24_500),
            ("6k", 6_000),
            ("510k", 510_000),
        ] {
            assert_eq!(bitrate(text), Ok(bits), "{text}");
        }
        for text in ["", "k", "64m", "-64k", "5999", "511k", "nan", "inf", "1e9k"] {
            assert!(bitrate(text).unwrap_err().contains("510k"), "{text}");
        }
        assert!(bitrate("64").unwrap_err().contains("64k"));
    }

    #[test]
    fn wrong_values_are_explained() {
        for (args, word) in [
            (vec!["--bitrate", "64"], "64k meant"),
            (vec!["--frame-ms", "7"], "5, 10, 20"),
            (vec!["--codec", "mp3"], "pcmu"),
            (vec!["--effects", "reverb"], "denoise"),
            (vec!["--tone", "20000"], "3400"),
            (vec!["--duration", "soon"], "5s"),
            (vec!["--source", "music.mp3"], "neither mic nor tone"),
            (vec!["--record", "call.mp3"], ".wav"),
            (vec!["--force"], "--record"),
            (vec!["--strict"], "--synthetic"),
            (vec!["--virtual-time"], "--synthetic"),
            (
                vec!["--synthetic", "--impair", "jitter=5ms"],
                "--virtual-time",
            ),
            (
                vec!["--synthetic", "--virtual-time", "--impair", "loss=3%"],
                "jitter=15ms",
            ),
            (
                vec!["--synthetic", "--virtual-time", "--server", "x"],
                "cannot be used with",
            ),
            (vec!["--synthetic", "--input", "x"], "cannot be used with"),
        ] {
            let error = Args::try_parse_from([vec!["softphone"], args.clone()].concat())
                .unwrap_err()
                .to_string();
            assert!(error.contains(word), "{args:?}: {error}");
        }
    }

    #[test]
    fn packets_that_nothing_would_fit_into_are_refused() {
        let fault = |args: [&str; 4]| {
            let args = [&["softphone"][..], &args].concat();
            Args::try_parse_from(args).unwrap().call.bitrate_fault()
        };
        let refused = fault(["--bitrate", "6k", "--frame-ms", "2.5"]).unwrap();
        assert!(refused.contains("at least 12k"), "{refused}");
        assert_eq!(fault(["--bitrate", "12k", "--frame-ms", "2.5"]), None);
        assert_eq!(fault(["--bitrate", "6k", "--frame-ms", "10"]), None);
    }
}
