//! A sound card that needs no hardware: a private PulseAudio with a virtual microphone and a
//! virtual speaker, both channels of one null sink.
//!
//! That sink is recorded once, so what went into the microphone and what came out of the speaker
//! stand in one file on one clock, and delay is a difference of positions in it, whatever the
//! scheduler did. The user's own audio server is never touched.

use std::{
    fmt::Write as _,
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, mpsc},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{Process, skip, stall_watch::watched};

/// Samples per second of everything the rig plays and records.
pub const RATE: u32 = 48_000;

/// `feed` is channel aux0 of the cable, the speaker's left and right are aux1 and aux2.
const CHANNELS: usize = 3;

/// What the recorder and the player ask for. The sink works in blocks as short as the most
/// demanding of its users wants, and that shall be the program under test, not the rig; and two
/// seconds in the server's own hands outlast a machine that is busy elsewhere.
const UNHURRIED: &str = "--latency-msec=2000";

/// How often an unclean run is repeated.
const ATTEMPTS: usize = 6;

/// How long PulseAudio may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Two cores do not carry two rigs: the tests of a process take turns.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A private PulseAudio. Gone when dropped.
pub struct Rig {
    // Dropped in this order: the server ends before its directory goes and the next rig starts.
    pulseaudio: Process,
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The cable as it was recorded: two signals of the same length on one clock.
#[derive(Debug, Clone)]
pub struct Recording {
    /// Samples per second.
    pub rate: u32,
    /// What went into the virtual microphone.
    pub feed: Vec<f32>,
    /// What came out of the virtual speaker, left and right averaged.
    pub speaker: Vec<f32>,
    /// For how long this machine stood still meanwhile.
    pub stall: Duration,
}

/// A run in which the rig itself failed to play or record without a break: it says nothing about
/// the program under test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclean(String);

impl Unclean {
    /// A run that says nothing for this reason.
    pub fn because(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl Rig {
    /// Starts a private server whose default source is the virtual microphone and whose default
    /// sink is the virtual speaker. `None`, with the reason printed, where PulseAudio is missing.
    ///
    /// # Panics
    ///
    /// When PulseAudio is installed and does not start, or is missing in CI ([`skip`]).
    pub fn start() -> Option<Self> {
        for program in ["pulseaudio", "pactl", "pacat", "parec"] {
            if !is_installed(program) {
                skip(&format!(
                    "this test needs `{program}`; script/setup --tests installs it"
                ));
                return None;
            }
        }
        let turn = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(|failed| failed.into_inner());
        let dir = tempfile::tempdir().expect("the system has a directory for temporary files");
        let path = dir.path().to_string_lossy().into_owned();
        let script = dir.path().join("rig.pa");
        // Without norewinds=1 a null sink works in blocks of two seconds.
        let modules = format!(
            "load-module module-native-protocol-unix auth-anonymous=1 socket={path}/native\n\
             load-module module-null-sink sink_name=cable rate={RATE} format=float32le \
               channels={CHANNELS} channel_map=aux0,aux1,aux2 norewinds=1\n\
             load-module module-remap-sink sink_name=speaker master=cable remix=no channels=2 \
               channel_map=front-left,front-right master_channel_map=aux1,aux2\n\
             load-module module-remap-source source_name=microphone master=cable.monitor \
               remix=no channels=1 channel_map=mono master_channel_map=aux0\n\
             set-default-sink speaker\n\
             set-default-source microphone\n"
        );
        fs::write(&script, modules).expect("the rig's directory can be written to");
        fs::write(dir.path().join("cookie"), [0; 256]).expect("so can its cookie");
        let pulseaudio = start_pulseaudio(&dir);
        Some(Self {
            pulseaudio,
            dir,
            _turn: turn,
        })
    }

    /// The environment in which a program finds this server, through ALSA's `default` as well as
    /// through a PulseAudio library, and a state directory of its own.
    pub fn env(&self) -> Vec<(String, String)> {
        let dir = self.dir.path().display();
        vec![
            ("PULSE_SERVER".to_owned(), format!("unix:{dir}/native")),
            // Any is accepted; without one, clients would write theirs into the user's home.
            ("PULSE_COOKIE".to_owned(), format!("{dir}/cookie")),
            // What one test found out about devices is nothing to another, nor to the user.
            ("XDG_STATE_HOME".to_owned(), format!("{dir}/state")),
        ]
    }

    /// A directory for the files of a test, gone with the rig.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The audio server itself, for tests that freeze or kill it.
    pub fn pulseaudio(&mut self) -> &mut Process {
        &mut self.pulseaudio
    }

    /// Kills the audio server.
    pub fn kill(&mut self) {
        self.pulseaudio.signal("KILL");
        self.pulseaudio.wait(START_LIMIT);
    }

    /// Starts the audio server again after [`Rig::kill`], at the same address.
    pub fn start_again(&mut self) {
        self.pulseaudio = start_pulseaudio(&self.dir);
    }

    /// Runs `pactl` on this server and returns what it prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn pactl(&self, args: &[&str]) -> String {
        let output = self
            .command("pactl")
            .args(args)
            .output()
            .expect("pactl can be started");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "pactl {args:?} failed: {words}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Lets the microphone hear the speaker, `delay` later and by `gain_db` louder, for as long as
    /// the rig stands or until this is called again.
    ///
    /// # Panics
    ///
    /// When the audio server refuses.
    pub fn put_speaker_next_to_microphone(&self, delay: Duration, gain_db: f64) {
        // The old loop, if any, is gone with its sink.
        for module in ["module-loopback", "module-remap-sink sink_name=feed"] {
            let modules = self.pactl(&["list", "short", "modules"]);
            let loaded = modules.lines().map(|line| line.replace('\t', " "));
            for line in loaded.filter(|line| line.contains(module)) {
                let index = line.split(' ').next().unwrap_or_default();
                self.pactl(&["unload-module", index]);
            }
        }
        self.pactl(&[
            "load-module",
            "module-remap-sink",
            "sink_name=feed",
            "master=cable",
            "remix=no",
            "channels=1",
            "channel_map=mono",
            "master_channel_map=aux0",
        ]);
        let latency = format!("latency_msec={}", delay.as_millis());
        self.pactl(&[
            "load-module",
            "module-loopback",
            "source=speaker.monitor",
            "sink=feed",
            "adjust_time=0",
            &latency,
        ]);
        let inputs = self.pactl(&["list", "short", "sink-inputs"]);
        let input = inputs
            .lines()
            .find(|line| line.contains("module-loopback"))
            .and_then(|line| line.split('\t').next())
            .expect("the loop plays into the feed");
        let volume = format!("{gain_db}dB");
        self.pactl(&["set-sink-input-volume", input, &volume]);
    }

    /// Plays `feed` (mono, [`RATE`]) into the virtual microphone, once, while recording the cable
    /// for `length`.
    ///
    /// # Errors
    ///
    /// When the feed on the recording is not, sample by sample, the one that was played, or when
    /// the audio server stood still.
    pub fn play_and_record(&self, feed: &[f32], length: Duration) -> Result<Recording, Unclean> {
        let recording = self.play_and_record_mixed(feed, length)?;
        recording.check(feed)?;
        Ok(recording)
    }

    /// The same where the microphone hears other things beside `feed`, such as the speaker: the feed
    /// on the recording is then the mix.
    ///
    /// # Errors
    ///
    /// When the audio server stood still.
    pub fn play_and_record_mixed(
        &self,
        feed: &[f32],
        length: Duration,
    ) -> Result<Recording, Unclean> {
        let frames = (length.as_secs_f64() * f64::from(RATE)) as usize;
        let mut recorder = self.recorder(frames);
        recorder.wait_until_running()?;
        let player = self.play(feed);
        let (recording, stall) = watched(|| recorder.finish(length));
        drop(player);
        Ok(Recording {
            stall,
            ..recording?
        })
    }

    /// Plays `feed` (mono, [`RATE`]) into the virtual microphone, once, or until what is returned is
    /// dropped.
    ///
    /// # Panics
    ///
    /// When there is no disk or no player.
    pub fn play(&self, feed: &[f32]) -> Player {
        let file = self.dir.path().join("feed.raw");
        let bytes: Vec<u8> = feed
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        fs::write(&file, bytes).expect("the rig's directory can be written to");
        let mut play = self.command("pacat");
        play.args([
            "--playback",
            "--raw",
            "--device=cable",
            "--format=float32le",
            "--rate=48000",
        ])
        .args([
            "--channels=1",
            "--channel-map=aux0",
            "--no-remix",
            UNHURRIED,
        ])
        .arg(&file);
        Player {
            _child: Child::spawn(play),
        }
    }

    /// Records the cable for `length` and plays nothing.
    ///
    /// # Errors
    ///
    /// When the audio server stood still.
    pub fn record(&self, length: Duration) -> Result<Recording, Unclean> {
        let frames = (length.as_secs_f64() * f64::from(RATE)) as usize;
        let mut recorder = self.recorder(frames);
        recorder.wait_until_running()?;
        recorder.finish(length)
    }

    fn recorder(&self, frames: usize) -> Recorder {
        let mut record = self.command("parec");
        record
            .args([
                "--raw",
                "--device=cable.monitor",
                "--format=float32le",
                "--rate=48000",
            ])
            .args(["--channels=3", "--channel-map=aux0,aux1,aux2", UNHURRIED])
            .stdout(Stdio::piped());
        let mut child = Child::spawn(record);
        let mut stdout = child.0.stdout.take().expect("stdout is a pipe");
        let (bytes_tx, bytes_rx) = mpsc::channel();
        thread::spawn(move || {
            // Ends when the recorder does, or when nobody listens any more.
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if bytes_tx.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Recorder {
            _child: child,
            bytes_rx,
            bytes: Vec::new(),
            frames,
        }
    }

    /// A program that finds this server.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.env()).stdin(Stdio::null());
        command
    }
}

/// The server of the rig in this directory, ready.
fn start_pulseaudio(dir: &TempDir) -> Process {
    let path = dir.path().to_string_lossy().into_owned();
    let script = dir.path().join("rig.pa");
    let env = [
        ("HOME", path.clone()),
        ("XDG_RUNTIME_DIR", path),
        ("LC_ALL", "C".to_owned()),
    ];
    let pulseaudio = Process::start(
        "pulseaudio",
        &[
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "--log-target=stderr",
            "--log-level=info",
            "-F",
            &script.to_string_lossy(),
        ],
        &env.map(|(name, value)| (name.to_owned(), value)),
    );
    pulseaudio.wait_for_stderr("Daemon startup complete", START_LIMIT);
    pulseaudio
}

/// Repeats `attempt` until the rig was clean, and returns what it returned then.
///
/// # Panics
///
/// When it was not clean six times in a row; the message holds the reasons.
pub fn clean_run<T>(mut attempt: impl FnMut() -> Result<T, Unclean>) -> T {
    let mut reasons = String::new();
    for count in 1..=ATTEMPTS {
        match attempt() {
            Ok(result) => return result,
            Err(Unclean(reason)) => {
                println!("unclean run {count} of {ATTEMPTS}: {reason}");
                let _ = write!(reasons, "\n  {count}. {reason}");
            }
        }
    }
    panic!("the audio rig was not clean {ATTEMPTS} times, so nothing was judged:{reasons}")
}

impl Recording {
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut recording = Self {
            rate: RATE,
            feed: Vec::new(),
            speaker: Vec::new(),
            stall: Duration::ZERO,
        };
        let samples: Vec<f32> = bytes
            .chunks_exact(size_of::<f32>())
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        for frame in samples.chunks_exact(CHANNELS) {
            recording.feed.push(frame[0]);
            recording.speaker.push((frame[1] + frame[2]) / 2.0);
        }
        recording
    }

    /// The cable copies samples without changing them, so any difference is a break of the rig.
    fn check(&self, played: &[f32]) -> Result<(), Unclean> {
        let sounds = |sample: &f32| *sample != 0.0;
        let Some(first) = played.iter().position(sounds) else {
            return Ok(());
        };
        let Some(start) = self.feed.iter().position(sounds) else {
            return Err(Unclean("the feed is not on the recording".to_owned()));
        };
        let pairs = self.feed[start..].iter().zip(&played[first..]);
        match pairs
            .map(|(got, want)| got - want)
            .position(|off| off.abs() > 1e-4)
        {
            None => Ok(()),
            Some(at) => {
                let ms = at * 1000 / RATE as usize;
                Err(Unclean(format!("the feed broke {ms} ms after it began")))
            }
        }
    }
}

/// A running recorder; the reading thread never lets its pipe fill up.
struct Recorder {
    _child: Child,
    bytes_rx: mpsc::Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    frames: usize,
}

impl Recorder {
    /// Returns once the first samples have come, so that nothing played from now on is missed.
    fn wait_until_running(&mut self) -> Result<(), Unclean> {
        self.read(Duration::from_secs(10))
    }

    /// The recording, once it is as long as asked for.
    fn finish(mut self, length: Duration) -> Result<Recording, Unclean> {
        let wanted = self.frames * CHANNELS * size_of::<f32>();
        while self.bytes.len() < wanted {
            self.read(length + Duration::from_secs(10))?;
        }
        self.bytes.truncate(wanted);
        Ok(Recording::from_bytes(&self.bytes))
    }

    fn read(&mut self, limit: Duration) -> Result<(), Unclean> {
        let bytes = self
            .bytes_rx
            .recv_timeout(limit)
            .map_err(|_| Unclean(format!("the recorder ended, or had nothing for {limit:?}")))?;
        self.bytes.extend(bytes);
        Ok(())
    }
}

/// Plays into the virtual microphone until it is dropped.
#[must_use]
pub struct Player {
    _child: Child,
}

/// A player or recorder. Killed when dropped.
struct Child(std::process::Child);

impl Child {
    fn spawn(mut command: Command) -> Self {
        Self(
            command
                .spawn()
                .expect("PulseAudio's own tools can be started"),
        )
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only for a program that has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(feed: &[f32]) -> Recording {
        Recording {
            rate: RATE,
            feed: feed.to_vec(),
            speaker: vec![0.0; feed.len()],
            stall: Duration::ZERO,
        }
    }

    #[test]
    fn a_feed_that_came_through_whole_is_clean() {
        let played = [0.0, 0.1, 0.2, 0.3];
        assert_eq!(
            recording(&[0.0, 0.0, 0.0, 0.1, 0.2, 0.3, 0.0]).check(&played),
            Ok(())
        );
        assert_eq!(
            recording(&[0.0, 0.1]).check(&played),
            Ok(()),
            "a shorter recording"
        );
        assert_eq!(
            recording(&[0.0; 4]).check(&[0.0; 4]),
            Ok(()),
            "nothing was played"
        );
    }

    #[test]
    fn a_broken_or_missing_feed_is_unclean() {
        let played: Vec<f32> = (1..=480).map(|n| n as f32 / 480.0).collect();
        let mut skipped = played.clone();
        skipped.remove(240);
        let why = recording(&skipped).check(&played).unwrap_err();
        assert_eq!(
            why,
            Unclean("the feed broke 5 ms after it began".to_owned())
        );
        assert!(recording(&[0.0; 480]).check(&played).is_err());
    }

    #[test]
    fn an_unclean_run_is_repeated() {
        let mut runs = 0;
        let result = clean_run(|| {
            runs += 1;
            if runs < ATTEMPTS {
                Err(Unclean("hiccup".to_owned()))
            } else {
                Ok(runs)
            }
        });
        assert_eq!(result, ATTEMPTS);
    }

    #[test]
    #[should_panic(expected = "6. hiccup")]
    fn unclean_runs_alone_fail_with_their_reasons() {
        clean_run(|| Err::<(), _>(Unclean("hiccup".to_owned())));
    }
}
