//! A recording that is judged while it runs: a test waits for what it shall hear, not for a time.

use std::{
    io::Read,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::rig::{RATE, Rig};

/// Windows in which a tone is looked for: 10 ms.
const WINDOW: usize = RATE as usize / 100;

/// A tone of our tests is louder than this in its channel, as a peak.
const AUDIBLE: f32 = 0.02;

/// A running recording of a sink's monitor. Ends when dropped.
pub struct Tape {
    recorder: Child,
    bytes_rx: mpsc::Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    channels: usize,
}

impl Tape {
    /// Records `device`, a monitor of `channels` channels aux0, aux1 …, from now on.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn start(rig: &Rig, device: &str, channels: usize) -> Self {
        let map: Vec<_> = (0..channels)
            .map(|channel| format!("aux{channel}"))
            .collect();
        let mut recorder = rig
            .command("parec")
            .args(["--raw", "--format=float32le", "--latency-msec=200"])
            .arg(format!("--device={device}"))
            .arg(format!("--rate={RATE}"))
            .arg(format!("--channels={channels}"))
            .arg(format!("--channel-map={}", map.join(",")))
            .stdout(Stdio::piped())
            .spawn()
            .expect("parec can be started");
        let mut stdout = recorder.stdout.take().expect("stdout is a pipe");
        let (bytes_tx, bytes_rx) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if bytes_tx.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut tape = Self {
            recorder,
            bytes_rx,
            bytes: Vec::new(),
            channels,
        };
        tape.wait_for("the tape to run", Duration::from_secs(20), |tape| {
            !tape.bytes.is_empty()
        });
        tape
    }

    /// Listens until `heard`.
    ///
    /// # Panics
    ///
    /// When it was not heard within `limit`, or the recorder ended.
    pub fn wait_for(&mut self, what: &str, limit: Duration, heard: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + limit;
        while !heard(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.bytes_rx.recv_timeout(left).unwrap_or_else(|why| {
                panic!(
                    "waited {limit:?} for {what}: {why}, {} samples heard",
                    self.len()
                )
            });
            self.bytes.extend(bytes);
        }
    }

    /// Samples per channel until now.
    pub fn len(&self) -> usize {
        self.bytes.len() / size_of::<f32>() / self.channels
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One channel, from the sample `from` on.
    pub fn channel(&self, channel: usize, from: usize) -> Vec<f32> {
        let step = size_of::<f32>() * self.channels;
        let offset = size_of::<f32>() * channel;
        self.bytes
            .chunks_exact(step)
            .skip(from)
            .map(|group| {
                let bytes = &group[offset..offset + size_of::<f32>()];
                f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
            })
            .collect()
    }

    /// Where, from the sample `from` on, a tone of `hz` is first heard in `channel`.
    pub fn first(&self, channel: usize, hz: f32, from: usize) -> Option<usize> {
        let samples = self.channel(channel, from);
        let mut windows = samples.chunks_exact(WINDOW);
        let window = windows.position(|window| amplitude(window, hz) > AUDIBLE)?;
        Some(from + window * WINDOW)
    }

    /// For how many seconds, from the sample `from` on, a tone of `hz` is heard in `channel`.
    pub fn seconds_of(&self, channel: usize, hz: f32, from: usize) -> f64 {
        let samples = self.channel(channel, from);
        let windows = samples.chunks_exact(WINDOW);
        let heard = windows.filter(|window| amplitude(window, hz) > AUDIBLE);
        heard.count() as f64 * WINDOW as f64 / f64::from(RATE)
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // Both fail only for a program that has already ended.
        let _ = self.recorder.kill();
        let _ = self.recorder.wait();
    }
}

/// Peak of the sine of `hz` in a window, by correlation with it.
fn amplitude(window: &[f32], hz: f32) -> f32 {
    let step = std::f32::consts::TAU * hz / RATE as f32;
    let (mut re, mut im) = (0.0, 0.0);
    for (index, sample) in window.iter().enumerate() {
        let (sin, cos) = (step * index as f32).sin_cos();
        re += sample * cos;
        im += sample * sin;
    }
    2.0 * re.hypot(im) / window.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::tone;

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        let sound = tone(500.0, 0.01, 0.1);
        assert!((amplitude(&sound, 500.0) - 0.1).abs() < 0.005);
        assert!(amplitude(&sound, 1_000.0) < AUDIBLE);
        assert!(amplitude(&[0.0; WINDOW], 500.0) < AUDIBLE);
    }
}
