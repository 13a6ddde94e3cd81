//! The configuration file: where it is, and what may stand in it.
// Foreign bytes arrive here: what they say must not panic.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::{
    fmt, fs, io,
    marker::PhantomData,
    path::{Path, PathBuf},
    str::FromStr,
};

use etcetera::BaseStrategy;
use proto::{
    text::{one_line, words},
    text_file,
};
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use super::{Layer, Origin, Setting};
use crate::{alert::Alert, mode::Mode, watchlist::Sort};
use proto::{ServerAddress, Symbol};

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or cannot be read.
    #[error("cannot read the configuration file {}: {why}", shown(path))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// Something in it is wrong.
    #[error("{}, line {line}: {what}\n{KEYS}", shown(path))]
    Line {
        /// Which file.
        path: PathBuf,
        /// Lines count from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

const KEYS: &str = "\
A configuration file may hold:
  server = \"quotes.lan:50051\"
  symbols = [\"AAPL\", \"TSLA\"]
  mode = \"plain\"              # or tui, json, csv
  alerts = [\"AAPL>250\", \"TSLA%<-2\"]
  sort = \"percent\"            # or given, symbol, last, change, volume; last:asc";

/// Where the file is unless another is named; `None` where a user has no home.
pub(super) fn usual_path() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    Some(directories.config_dir().join("ticker-client/config.toml"))
}

/// What the file says.
pub(super) fn read(path: &Path) -> Result<Layer, FileError> {
    let unreadable = |why| FileError::Unreadable {
        path: path.to_owned(),
        why,
    };
    let bytes = fs::read(path).map_err(unreadable)?;
    let text = text_file::decode(&bytes).map_err(|why| unreadable(io::Error::other(why)))?;
    parse(path, &text_file::with_line_feeds(text))
}

/// What a file of this text says.
pub(super) fn parse(path: &Path, text: &str) -> Result<Layer, FileError> {
    let keys: Keys = toml::from_str(text).map_err(|error| FileError::Line {
        path: path.to_owned(),
        line: line_at(text, error.span().map_or(0, |span| span.start)),
        what: words(error.message()),
    })?;
    fn of_file<T>(value: Option<T>, path: &Path) -> Option<Setting<T>> {
        value.map(|value| Setting {
            value,
            origin: Origin::File(path.to_owned()),
        })
    }
    fn bare<T>(values: Vec<Text<T>>) -> Vec<T> {
        values.into_iter().map(|Text(value)| value).collect()
    }
    Ok(Layer {
        server: of_file(keys.server.map(|Text(server)| server), path),
        symbols: of_file(keys.symbols.map(bare), path),
        mode: of_file(keys.mode.map(|Text(mode)| mode), path),
        alerts: of_file(keys.alerts.map(bare), path),
        sort: of_file(keys.sort.map(|Text(sort)| sort), path),
    })
}

/// A path as part of a line.
pub(super) fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

fn line_at(text: &str, byte: usize) -> usize {
    let before = text.bytes().take(byte);
    before.filter(|&byte| byte == b'\n').count() + 1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    server: Option<Text<ServerAddress>>,
    symbols: Option<Vec<Text<Symbol>>>,
    mode: Option<Text<Mode>>,
    alerts: Option<Vec<Text<Alert>>>,
    sort: Option<Text<Sort>>,
}

/// A value that is written as a text, in the form that it has everywhere.
struct Text<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parse<T>(PhantomData<T>);

        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotation marks")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Parse(PhantomData))
    }
}
