//! How good speech sounds, by ITU-T P.862.2 (PESQ, wide band).

use std::{fs, path::Path, process::Command};

use crate::{python::python, signals::resample};

/// What PESQ in its wide band works at.
const PESQ_HZ: u32 = 16_000;

/// PESQ in wide band (1.0 bad to 4.64 untouched) of speech that was `reference` once; both at `rate`
/// Hz, mono. A delay between them, even one that changes between utterances, is found and costs
/// nothing. `None`, with the reason printed, where Python or its packages are missing.
///
/// # Panics
///
/// When PESQ cannot judge the signals, for example because there is no speech in them.
pub fn pesq(reference: &[f32], degraded: &[f32], rate: u32) -> Option<f64> {
    let python = python()?;
    let dir = tempfile::tempdir().expect("the system has a directory for temporary files");
    let files = [reference, degraded].map(|samples| {
        let file = tempfile::NamedTempFile::new_in(&dir).expect("a file can be made");
        let bytes: Vec<u8> = resample(samples, rate, PESQ_HZ)
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        fs::write(file.path(), bytes).expect("the samples can be written");
        file
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pesq_of_files.py");
    let output = Command::new(python)
        .arg(script)
        .args(files.iter().map(tempfile::NamedTempFile::path))
        .output()
        .expect("Python can be started");
    let printed = String::from_utf8_lossy(&output.stdout);
    let score = printed.trim().parse();
    Some(score.unwrap_or_else(|_| {
        panic!(
            "PESQ gave no score: {printed}{}",
            String::from_utf8_lossy(&output.stderr)
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rig::RATE, signals::speech};

    #[test]
    fn untouched_speech_is_best_and_holes_are_heard() {
        let Some(speech) = speech("The quick brown fox jumps over the lazy dog.") else {
            return;
        };
        let delayed: Vec<f32> = std::iter::repeat_n(0.0, 4_800)
            .chain(speech.iter().copied())
            .collect();
        let Some(best) = pesq(&speech, &delayed, RATE) else {
            return;
        };
        assert!(best > 4.5, "{best}");
        let mut holed = speech.clone();
        for hole in holed.chunks_mut(RATE as usize / 4) {
            let length = hole.len().min(RATE as usize / 20);
            hole[..length].fill(0.0);
        }
        let worse = pesq(&speech, &holed, RATE).unwrap();
        assert!(worse < 2.5, "{worse}");
    }
}
