//! A softphone without devices, and what its report says.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use tests::{Output, Process, bin, proxy::Proxy};

/// A program's own home, where it finds nothing of anybody and may leave nothing.
pub(crate) fn environment(home: &Path) -> Vec<(String, String)> {
    [
        "HOME",
        "TMPDIR",
        "XDG_CONFIG_HOME",
        "XDG_STATE_HOME",
        "XDG_CACHE_HOME",
    ]
    .map(|name| {
        let directory = home.join(name.to_lowercase());
        fs::create_dir_all(&directory).expect("a directory can be made");
        let directory = directory.to_str().expect("UTF-8");
        (name.to_owned(), directory.to_owned())
    })
    .to_vec()
}

/// A call with a tone for a microphone, until it is told to end or `length` is over.
pub(crate) fn softphone(
    home: &Path,
    line: &Proxy,
    codec: &str,
    length: Option<Duration>,
    recording: Option<&Path>,
) -> Process {
    let server = line.addr().to_string();
    let mut args = vec![
        "--json", "--server", &server, "--source", "tone", "--sink", "null", "--codec", codec,
    ];
    let length = length.map(|length| format!("{}ms", length.as_millis()));
    if let Some(length) = &length {
        args.extend(["--duration", length]);
    }
    if let Some(file) = recording {
        args.extend(["--record", file.to_str().expect("UTF-8")]);
    }
    Process::start(bin("softphone"), &args, &environment(home))
}

/// Mouth to ear over a call, in ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Delay {
    pub(crate) median: f64,
    /// 95 of 100 seconds did not exceed it.
    pub(crate) p95: f64,
    pub(crate) worst: f64,
}

impl Delay {
    /// Of a call's report, if it ever heard itself.
    pub(crate) fn of(output: &Output) -> Option<Self> {
        let report: Value = serde_json::from_str(&output.stdout).ok()?;
        let delay = &report["delay_ms"];
        Some(Self {
            median: delay["median"]["sum"].as_f64()?,
            p95: delay["p95"].as_f64()?,
            worst: delay["worst"].as_f64()?,
        })
    }
}
