//! What was found out about pairs of devices, kept from one call to the next.
//!
//! A small JSON file in the user's state directory. That it cannot be read or written costs a tone
//! at the beginning of the next call, and nothing else.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::decision::EchoPath;

/// More pairs than a desk has; the file stays small.
const MAX_PAIRS: usize = 64;

/// Which microphone with which speaker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DevicePair {
    /// The microphone's name.
    pub microphone: String,
    /// The speaker's name.
    pub speaker: String,
}

/// The paths between them, as far as they were measured: what was learned longest ago comes first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EchoMemory(Vec<(DevicePair, EchoPath)>);

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// In the memory's order.
    pairs: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    microphone: String,
    speaker: String,
    /// `null`: the microphone does not hear the speaker.
    echo: Option<Echo>,
}

#[derive(Serialize, Deserialize)]
struct Echo {
    gain_db: f32,
    lag_ms: u32,
}

const VERSION: u32 = 1;

/// Bytes of a file that holds so many pairs, and more.
const LONGEST: u64 = 1 << 20;

impl EchoMemory {
    /// What is in the user's file; nothing where there is none, or none that can be read.
    pub fn load() -> Self {
        let text = file().and_then(|path| read(&path).ok());
        text.and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// What is known of this pair.
    pub fn recall(&self, pair: &DevicePair) -> EchoPath {
        let known = self.0.iter().find(|(known, _)| known == pair);
        known.map_or(EchoPath::Unknown, |&(_, path)| path)
    }

    /// Keeps what was measured, in the user's file too. May block: not for the engine thread.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn store(pair: &DevicePair, path: EchoPath) -> io::Result<()> {
        let Some(file) = file() else {
            return Ok(());
        };
        // Read anew: another call may have written meanwhile.
        let text = read(&file).unwrap_or_default();
        if is_newer(&text) {
            return Err(io::Error::other("a newer version of this program wrote it"));
        }
        let mut memory = Self::parse(&text).unwrap_or_default();
        memory.learn(pair, path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let unfinished = file.with_extension(format!("{}.new", std::process::id()));
        let written =
            fs::write(&unfinished, memory.text()).and_then(|()| fs::rename(&unfinished, file));
        if written.is_err() {
            // What is left of it is of use to nobody.
            let _ = fs::remove_file(unfinished);
        }
        written
    }

    /// Keeps it for this run. Where there is no room, what was learned longest ago is forgotten.
    pub fn learn(&mut self, pair: &DevicePair, path: EchoPath) {
        self.0.retain(|(known, _)| known != pair);
        if path == EchoPath::Unknown {
            return;
        }
        if self.0.len() >= MAX_PAIRS {
            self.0.remove(0);
        }
        self.0.push((pair.clone(), path));
    }

    fn parse(text: &str) -> Option<Self> {
        let file: File = serde_json::from_str(text).ok()?;
        if file.version != VERSION {
            return None;
        }
        let mut memory = Self::default();
        for entry in file.pairs {
            let pair = DevicePair {
                microphone: entry.microphone,
                speaker: entry.speaker,
            };
            let path = entry.echo.map_or(EchoPath::None, |echo| EchoPath::Some {
                gain_db: echo.gain_db,
                lag_ms: echo.lag_ms,
            });
            memory.learn(&pair, path);
        }
        Some(memory)
    }

    fn text(&self) -> String {
        let pairs = self.0.iter().map(|(pair, path)| Entry {
            microphone: pair.microphone.clone(),
            speaker: pair.speaker.clone(),
            echo: match *path {
                EchoPath::Some { gain_db, lag_ms } => Some(Echo { gain_db, lag_ms }),
                EchoPath::None | EchoPath::Unknown => None,
            },
        });
        let file = File {
            version: VERSION,
            pairs: pairs.collect(),
        };
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }
}

/// Whether text of the file is of a version that this program does not know yet.
fn is_newer(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_str(text).is_ok_and(|Version { version }| version > VERSION)
}

/// The file, if it is one that can be ours: a pipe would be waited for, a device has no end.
fn read(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(io::Error::other("it is no short file"));
    }
    fs::read_to_string(path)
}

/// `$XDG_STATE_HOME/softphone/echo.json`, or what the system has in its place.
fn file() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Some(state.join("softphone").join("echo.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(speaker: &str) -> DevicePair {
        DevicePair {
            microphone: "Desk \"Microphone\"".to_owned(),
            speaker: speaker.to_owned(),
        }
    }

    const HEARD: EchoPath = EchoPath::Some {
        gain_db: -12.5,
        lag_ms: 140,
    };

    #[test]
    fn what_was_learned_is_there_in_the_next_call() {
        let mut memory = EchoMemory::default();
        memory.learn(&pair("loudspeaker"), HEARD);
        memory.learn(&pair("headset"), EchoPath::None);
        let next = EchoMemory::parse(&memory.text()).expect("it is its own");
        assert_eq!(next.recall(&pair("loudspeaker")), HEARD);
        assert_eq!(next.recall(&pair("headset")), EchoPath::None);
        assert_eq!(next.recall(&pair("another")), EchoPath::Unknown);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_none() {
        for text in ["", "{", "[]", "{\"version\": 9, \"pairs\": []}"] {
            assert_eq!(EchoMemory::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_was_learned_longest_ago_is_forgotten_first() {
        let mut memory = EchoMemory::default();
        // The first in the alphabet is the newest.
        let names: Vec<String> = (0..MAX_PAIRS).rev().map(|n| format!("{n:03}")).collect();
        for name in &names {
            memory.learn(&pair(name), HEARD);
        }
        // Anew.
        memory.learn(&pair(&names[0]), EchoPath::None);
        let mut memory = EchoMemory::parse(&memory.text()).expect("it is its own");
        memory.learn(&pair("another"), HEARD);
        assert_eq!(memory.0.len(), MAX_PAIRS);
        assert_eq!(memory.recall(&pair(&names[0])), EchoPath::None);
        assert_eq!(memory.recall(&pair(&names[1])), EchoPath::Unknown);
        for name in names[2..].iter().map(String::as_str).chain(["another"]) {
            assert_eq!(memory.recall(&pair(name)), HEARD, "{name}");
        }
    }

    #[test]
    fn what_a_newer_version_wrote_is_known_as_that() {
        assert!(is_newer(r#"{"version":2,"anything":[]}"#));
        assert!(!is_newer(&EchoMemory::default().text()));
        assert!(!is_newer("no JSON"));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        assert!(read(Path::new("/dev/null")).is_err());
        assert!(read(&std::env::temp_dir()).is_err());
        let file = tempfile::NamedTempFile::new().expect("the system has temporary files");
        assert_eq!(read(file.path()).expect("a file is"), "");
        file.as_file().set_len(LONGEST + 1).expect("it can grow");
        assert!(read(file.path()).is_err());
    }
}
