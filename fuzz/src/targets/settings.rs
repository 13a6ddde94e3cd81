//! The ticker client's configuration file, symbols and alerts: refused in words, or written down they
//! say the same again.

use std::{fs, path::PathBuf, sync::LazyLock};

use clap::Parser;
use tempfile::TempDir;
use ticker_client::{
    Args,
    settings::{Settings, SettingsError},
};

/// What separates the parts of an input: the file, the symbols, the alerts.
const SEPARATOR: char = '\0';

static DIRECTORY: LazyLock<TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory for temporary files"));
static ARGS: LazyLock<Args> = LazyLock::new(|| Args::parse_from(["ticker-client"]));

pub(super) fn run(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.splitn(3, SEPARATOR);
    let file = parts.next().unwrap_or_default();
    let (symbols, alerts) = (list(parts.next()), list(parts.next()));
    let settings = match load(file, symbols, alerts) {
        Ok(settings) => settings,
        Err(error) => {
            let words = error.to_string();
            assert!(words.chars().count() < 2_000, "{words}");
            let lines: Vec<_> = words.lines().collect();
            assert!(
                lines.iter().all(|line| proto::text::is_printable(line)),
                "{words:?}"
            );
            let said = lines.first().copied().unwrap_or_default();
            let why = said.rsplit_once(".toml").map_or(said, |(_, why)| why);
            return why
                .chars()
                .filter(char::is_ascii_lowercase)
                .take(24)
                .collect();
        }
    };
    let printed = settings.to_string();
    let again =
        load(&printed, Vec::new(), Vec::new()).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(settings.symbols.value, again.symbols.value, "{printed}");
    assert_eq!(settings.alerts.value, again.alerts.value, "{printed}");
    assert_eq!(settings.server.value, again.server.value, "{printed}");
    assert_eq!(settings.sort.value, again.sort.value, "{printed}");
    format!(
        "{} symbols, {} alerts",
        settings.symbols.value.len().next_power_of_two(),
        settings.alerts.value.len().next_power_of_two()
    )
}

fn list(part: Option<&str>) -> Vec<String> {
    let words = part.unwrap_or_default().split(';');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn load(file: &str, symbols: Vec<String>, alerts: Vec<String>) -> Result<Settings, SettingsError> {
    let path: PathBuf = DIRECTORY.path().join("config.toml");
    fs::write(&path, file).expect("a temporary file is written");
    let args = Args {
        symbols,
        alerts,
        config: Some(path),
        ..ARGS.clone()
    };
    Settings::load(&args)
}
