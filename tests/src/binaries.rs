//! Builds the programs under test, once per test process.
//!
//! `CARGO_BIN_EXE_*` does not reach other packages, and whatever lies in the target directory may be
//! older than the sources: so cargo is asked, which answers at once when nothing has changed.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Mutex,
};

/// The path of the program called `name` (`server`, `softphone`, `ticker-client`), freshly built
/// with the profile of the running test.
///
/// # Panics
///
/// When it does not build, or the workspace has no such program.
pub fn bin(name: &str) -> PathBuf {
    built(name, false)
}

/// The path of the unit tests of the library called `name`, built like [`bin`].
///
/// # Panics
///
/// When they do not build, or the workspace has no such library.
pub fn unit_tests(name: &str) -> PathBuf {
    built(name, true)
}

/// What was built, by name and whether it is the tests of a library.
type Built = HashMap<(String, bool), PathBuf>;

fn built(name: &str, tests: bool) -> PathBuf {
    static BUILT: Mutex<Option<Built>> = Mutex::new(None);
    // Held while building: the other tests that want the program have to wait for it anyway.
    let mut built = BUILT.lock().unwrap_or_else(|failed| failed.into_inner());
    let built = built.get_or_insert_default();
    let wanted = (name.to_owned(), tests);
    if let Some(path) = built.get(&wanted) {
        return path.clone();
    }
    let path = build(name, tests);
    built.insert(wanted, path.clone());
    path
}

fn build(name: &str, tests: bool) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let profile = profile();
    // The whole workspace and, beside the programs, one test (the smallest): only so have the
    // dependencies the features that `script/test` and `cargo test --workspace` gave them, and are
    // not compiled a second time.
    let targets = match profile.as_str() {
        _ if tests => &["--all-targets"][..],
        "dev" => &["--bins", "--test", "rig"],
        _ => &["--bins"],
    };
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--profile", &profile])
        .args(targets)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "the programs cannot be built (cargo's words are above)"
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| executable(line, name, tests))
        .unwrap_or_else(|| panic!("the workspace has no program called `{name}`"))
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

/// The path of the program, when this is the line of cargo's JSON that reports it.
fn executable(line: &str, name: &str, tests: bool) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let is_it = message["target"]["name"] == name
        && message["target"]["kind"][0] == if tests { "lib" } else { "bin" }
        && message["profile"]["test"] == tests;
    is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
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
    #[should_panic(expected = "no program called `toaster`")]
    fn an_unknown_program_is_named() {
        bin("toaster");
    }
}
