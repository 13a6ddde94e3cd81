//! Builds the programs under test, once per test process.
//!
//! `CARGO_BIN_EXE_*` does not reach other packages, and whatever lies in the target directory may be
//! older than the sources: so cargo is asked, which answers at once when nothing has changed.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The path of the program called `name` (`server`, `softphone`, `ticker-client`), freshly built
/// with the profile of the running test.
///
/// # Panics
///
/// When the workspace does not build, or has no such program.
pub fn bin(name: &str) -> PathBuf {
    static BINARIES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    let binaries = BINARIES.get_or_init(build);
    binaries.get(name).cloned().unwrap_or_else(|| {
        let known: Vec<_> = binaries.keys().collect();
        panic!("the workspace has no program `{name}`, only {known:?}")
    })
}

fn build() -> HashMap<String, PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let profile = profile();
    // The whole workspace with `--examples` gives dependencies the same features as
    // `cargo test --workspace` does; naming only the three packages would compile tokio and all
    // that stands on it a second time.
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--bins", "--examples"])
        .args(["--profile", &profile])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "the programs under test do not build (cargo's words are above)"
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(executable)
        .collect()
}

/// Cargo's name for the profile of the running test, told by the directory it lies in:
/// `target/<profile>/deps/<test>`.
fn profile() -> String {
    let test = env::current_exe().expect("a test knows its own path");
    match test.ancestors().nth(2).and_then(|dir| dir.file_name()) {
        Some(dir) if dir != "debug" => dir.to_string_lossy().into_owned(),
        _ => "dev".to_owned(),
    }
}

/// The program that one line of cargo's JSON reports, if it reports one.
fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_where_the_programs_are() {
        for name in ["server", "softphone", "ticker-client"] {
            let path = bin(name);
            assert!(path.is_file(), "{} is no file", path.display());
        }
    }

    #[test]
    #[should_panic(expected = "no program `toaster`")]
    fn an_unknown_program_is_named() {
        bin("toaster");
    }
}
