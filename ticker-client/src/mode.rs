//! The ways to show quotes.

use std::{fmt, str::FromStr};

use clap::ValueEnum;
use proto::text::quoted;

/// How quotes are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A live table over the whole screen.
    Tui,
    /// A line for each update, for people.
    Plain,
    /// A JSON object for each update, on a line of its own.
    Json,
    /// A header and a line of comma-separated values for each update.
    Csv,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Tui => "tui",
            Self::Plain => "plain",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no mode; it says which are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no mode; use tui, plain, json or csv", quoted(.0))]
pub struct BadMode(String);

impl FromStr for Mode {
    type Err = BadMode;

    fn from_str(text: &str) -> Result<Self, BadMode> {
        [Self::Tui, Self::Plain, Self::Json, Self::Csv]
            .into_iter()
            .find(|mode| mode.name() == text)
            .ok_or_else(|| BadMode(text.chars().take(20).collect()))
    }
}
