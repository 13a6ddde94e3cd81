//! The settings: what holds, of all that the command line, the environment, the configuration file
//! and the defaults say.
//!
//! Pure, but for [`Settings::load`], which reads the environment and the file.

mod file;

use std::{env, error::Error, ffi::OsString, fmt, path::PathBuf, str::FromStr};

use proto::{ServerAddress, Symbol};

use crate::{
    alert::{Alert, alerts_of_line},
    args::Args,
    mode::Mode,
    typed::symbols_of_args,
    watchlist::Sort,
};
pub use file::FileError;

/// A value, and who decided it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// What holds.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An argument, by its name in the help.
    CommandLine(&'static str),
    /// A variable, by its name.
    Environment(&'static str),
    /// The configuration file.
    File(PathBuf),
    /// Nobody decided.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(name) | Self::Environment(name) => f.write_str(name),
            Self::File(path) => f.write_str(&file::shown(path)),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The settings cannot be used. Nothing was connected to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value is none.
    #[error("{origin}: {why}")]
    Value {
        /// Who said so.
        origin: Origin,
        /// What is wrong, and what is accepted.
        why: String,
    },
    /// The configuration file is none.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nobody named a symbol, and there is nothing more to read one from.
    #[error(
        "no symbol to show; name some as arguments (ticker-client AAPL TSLA), on the standard \
         input, in TICKER_CLIENT_SYMBOLS, or as symbols = [\"AAPL\", \"TSLA\"] in the \
         configuration file"
    )]
    NoSymbols,
    /// The full-screen view was asked for where there is no screen.
    #[error(
        "--mode tui needs a terminal for its input and its output, and one that TERM does not call \
         dumb or leave unnamed; use --mode plain, json or csv"
    )]
    NoTerminal,
}

/// Which of the standard streams are terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminals {
    /// Whether keys can be read.
    pub input: bool,
    /// Whether a screen can be drawn on.
    pub output: bool,
    /// Whether the terminal can do no more than write line after line (`TERM=dumb`, or not set).
    pub dumb: bool,
}

impl Terminals {
    fn screen(self) -> bool {
        self.input && self.output && !self.dumb
    }
}

/// What one source says; `None`: nothing.
#[derive(Debug, Default)]
struct Layer {
    server: Option<Setting<ServerAddress>>,
    symbols: Option<Setting<Vec<Symbol>>>,
    mode: Option<Setting<Mode>>,
    alerts: Option<Setting<Vec<Alert>>>,
    sort: Option<Setting<Sort>>,
}

/// What holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The server to ask.
    pub server: Setting<ServerAddress>,
    /// What to subscribe to at the start; those that only an alert names are not among them.
    pub symbols: Setting<Vec<Symbol>>,
    /// How to show quotes; `None`: as the terminal allows, see [`mode_on`](Self::mode_on).
    pub mode: Option<Setting<Mode>>,
    /// What to say when it happens.
    pub alerts: Setting<Vec<Alert>>,
    /// The order of the table.
    pub sort: Setting<Sort>,
    /// The configuration file, whether it is there or not; `None` where a user has no home.
    pub file: Option<PathBuf>,
}

impl Settings {
    /// Reads the environment and the configuration file, and lets the command line go before both.
    ///
    /// # Errors
    ///
    /// [`SettingsError`], for the person who said something wrong.
    pub fn load(args: &Args) -> Result<Self, SettingsError> {
        let flags = Layer::of_args(args)?;
        let environment = Layer::of_environment(|name| env::var_os(name), &flags)?;
        let named = args.config.clone().or_else(|| {
            let path = env::var_os("TICKER_CLIENT_CONFIG").filter(|path| !path.is_empty())?;
            Some(path.into())
        });
        // One that nobody named need not be there.
        let is_named = named.is_some();
        let path = named.or_else(file::usual_path);
        let file = match &path {
            Some(path) if is_named || path.exists() => file::read(path)?,
            _ => Layer::default(),
        };
        Ok(Self {
            // A pipe, or /dev/null, keeps nothing.
            file: path.filter(|path| path.is_file() || !path.exists()),
            ..Self::merge([flags, environment, file])
        })
    }

    fn merge(layers: [Layer; 3]) -> Self {
        let layer = layers.into_iter().fold(Layer::default(), Layer::or);
        Self {
            server: layer.server.unwrap_or_else(|| {
                default(DEFAULT_SERVER.parse().expect("the default is an address"))
            }),
            symbols: layer.symbols.unwrap_or_else(|| default(Vec::new())),
            mode: layer.mode,
            alerts: layer.alerts.unwrap_or_else(|| default(Vec::new())),
            sort: layer.sort.unwrap_or_else(|| default(Sort::default())),
            file: None,
        }
    }

    /// How to show quotes here: as somebody said, and otherwise on a screen where there is one. The
    /// full-screen view as a habit gives way where there is none; as a demand it does not.
    ///
    /// # Errors
    ///
    /// [`SettingsError::NoTerminal`] when the command line demands a screen and there is none.
    pub fn mode_on(&self, terminals: Terminals) -> Result<Mode, SettingsError> {
        match &self.mode {
            None if terminals.screen() => Ok(Mode::Tui),
            None => Ok(Mode::Plain),
            Some(mode) if mode.value != Mode::Tui || terminals.screen() => Ok(mode.value),
            Some(Setting {
                origin: Origin::CommandLine(_),
                ..
            }) => Err(SettingsError::NoTerminal),
            Some(_) => Ok(Mode::Plain),
        }
    }

    /// What to subscribe to at the start: the symbols, then those that only an alert names.
    pub fn subscriptions(&self) -> Vec<Symbol> {
        let mut symbols = self.symbols.value.clone();
        for alert in &self.alerts.value {
            if !symbols.contains(alert.symbol()) {
                symbols.push(alert.symbol().clone());
            }
        }
        symbols
    }
}

const DEFAULT_SERVER: &str = "127.0.0.1:50051";

fn default<T>(value: T) -> Setting<T> {
    Setting {
        value,
        origin: Origin::Default,
    }
}

impl Layer {
    /// What this one says, and where it says nothing, the other. Lists are not joined.
    fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            symbols: self.symbols.or(other.symbols),
            mode: self.mode.or(other.mode),
            alerts: self.alerts.or(other.alerts),
            sort: self.sort.or(other.sort),
        }
    }

    fn of_args(args: &Args) -> Result<Self, SettingsError> {
        let flag = Origin::CommandLine;
        let alerts = args.alerts.iter().map(String::as_str);
        Ok(Self {
            server: parsed(flag("--server"), args.server.as_deref())?,
            symbols: match args.symbols.is_empty() {
                true => None,
                false => Some(symbols(flag("SYMBOL"), &args.symbols)?),
            },
            mode: match args.json {
                true => Some((Mode::Json, "--json")),
                false => args.mode.map(|mode| (mode, "--mode")),
            }
            .map(|(value, name)| Setting {
                value,
                origin: flag(name),
            }),
            alerts: match args.alerts.is_empty() {
                true => None,
                false => Some(all_parsed(flag("--alert"), alerts)?),
            },
            sort: parsed(flag("--sort"), args.sort.as_deref())?,
        })
    }

    /// A variable that is empty says nothing; one that `flags` go before is not even read.
    fn of_environment(
        get: impl Fn(&str) -> Option<OsString>,
        flags: &Self,
    ) -> Result<Self, SettingsError> {
        let text = |name: &'static str, is_decided: bool| {
            let origin = Origin::Environment(name);
            let value = if is_decided { None } else { get(name) };
            match value.filter(|value| !value.is_empty()) {
                None => Ok((origin, None)),
                Some(value) => match value.into_string() {
                    Ok(text) => Ok((origin, Some(text))),
                    Err(_) => Err(SettingsError::Value {
                        origin,
                        why: "it is not text in UTF-8".to_owned(),
                    }),
                },
            }
        };
        let (server, mode, sort) = (
            text("TICKER_CLIENT_SERVER", flags.server.is_some())?,
            text("TICKER_CLIENT_MODE", flags.mode.is_some())?,
            text("TICKER_CLIENT_SORT", flags.sort.is_some())?,
        );
        Ok(Self {
            server: parsed(server.0, server.1.as_deref())?,
            symbols: match text("TICKER_CLIENT_SYMBOLS", flags.symbols.is_some())? {
                (_, None) => None,
                (origin, Some(text)) => Some(symbols(origin, &[text])?),
            },
            mode: parsed(mode.0, mode.1.as_deref())?,
            alerts: match text("TICKER_CLIENT_ALERTS", flags.alerts.is_some())? {
                (_, None) => None,
                (origin, Some(text)) => match alerts_of_line(&text, None) {
                    Ok(value) => Some(Setting { value, origin }),
                    Err(error) => return Err(bad(origin, &error)),
                },
            },
            sort: parsed(sort.0, sort.1.as_deref())?,
        })
    }
}

fn parsed<T>(origin: Origin, text: Option<&str>) -> Result<Option<Setting<T>>, SettingsError>
where
    T: FromStr<Err: Error>,
{
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(value) => Ok(Some(Setting { value, origin })),
        Err(error) => Err(bad(origin, &error)),
    }
}

fn all_parsed<'a, T>(
    origin: Origin,
    texts: impl Iterator<Item = &'a str>,
) -> Result<Setting<Vec<T>>, SettingsError>
where
    T: FromStr<Err: Error>,
{
    match texts.map(str::parse).collect() {
        Ok(value) => Ok(Setting { value, origin }),
        Err(error) => Err(bad(origin, &error)),
    }
}

fn symbols(origin: Origin, texts: &[String]) -> Result<Setting<Vec<Symbol>>, SettingsError> {
    match symbols_of_args(texts) {
        Ok(value) => Ok(Setting { value, origin }),
        Err(error) => Err(bad(origin, &error)),
    }
}

fn bad(origin: Origin, error: &dyn Error) -> SettingsError {
    let why = error.to_string();
    SettingsError::Value { origin, why }
}

impl fmt::Display for Settings {
    /// A configuration file that says the same, with each setting's origin. What nobody decided stands
    /// in it as a comment, so that it is decided anew where the file is used.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn line<T>(
            f: &mut fmt::Formatter<'_>,
            key: &str,
            value: impl Into<toml::Value>,
            setting: &Setting<T>,
        ) -> fmt::Result {
            let comment = match setting.origin {
                Origin::Default => "# ",
                _ => "",
            };
            writeln!(f, "{comment}{key} = {} # {}", value.into(), setting.origin)
        }
        fn list<T: fmt::Display>(values: &[T]) -> Vec<String> {
            values.iter().map(ToString::to_string).collect()
        }
        let Self {
            server,
            symbols,
            mode,
            alerts,
            sort,
            file: _,
        } = self;
        line(f, "server", server.value.to_string(), server)?;
        line(f, "symbols", list(&symbols.value), symbols)?;
        match mode {
            Some(mode) => line(f, "mode", mode.value.to_string(), mode)?,
            None => writeln!(f, "{AUTOMATIC_MODE}")?,
        }
        line(f, "alerts", list(&alerts.value), alerts)?;
        line(f, "sort", sort.value.to_string(), sort)
    }
}

const AUTOMATIC_MODE: &str = "# mode = \"tui\" # default: tui on a terminal, else plain";

#[cfg(test)]
mod tests;
