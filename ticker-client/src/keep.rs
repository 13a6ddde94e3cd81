//! What becomes of a watchlist that was changed: which part of it did, the arguments that bring it back,
//! and the configuration file that keeps it.
//!
//! Pure, but for [`write`].

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use proto::{Symbol, text_file};
use toml_edit::{Array, DocumentMut, Item, Value};

use crate::{alert::Alert, watchlist::Sort};

/// A watchlist as it can be kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Watched {
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) alerts: Vec<Alert>,
    pub(crate) sort: Sort,
}

/// What is different from before; `None`: nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Edits {
    symbols: Option<Vec<Symbol>>,
    alerts: Option<Vec<Alert>>,
    sort: Option<Sort>,
}

impl Watched {
    /// What has become of it.
    pub(crate) fn edits_to(&self, now: &Self) -> Edits {
        Edits {
            symbols: (self.symbols != now.symbols).then(|| now.symbols.clone()),
            alerts: (self.alerts != now.alerts).then(|| now.alerts.clone()),
            sort: (self.sort != now.sort).then_some(now.sort),
        }
    }

    /// The arguments of a command line that begins with it.
    pub(crate) fn arguments(&self) -> String {
        let mut arguments: Vec<_> = self.symbols.iter().map(Symbol::to_string).collect();
        for alert in &self.alerts {
            arguments.push(format!("--alert '{alert}'"));
        }
        if self.sort != Sort::default() {
            arguments.push(format!("--sort {}", self.sort));
        }
        arguments.join(" ")
    }
}

impl Edits {
    /// Whether nothing is different.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// `symbols, alerts and order`.
    pub(crate) fn what(&self) -> String {
        let parts = [
            ("symbols", self.symbols.is_some()),
            ("alerts", self.alerts.is_some()),
            ("order", self.sort.is_some()),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(_, is_new)| *is_new).collect();
        let mut text = String::new();
        for (n, (part, _)) in parts.iter().enumerate() {
            text += match n {
                0 => "",
                n if n + 1 == parts.len() => " and ",
                _ => ", ",
            };
            text += part;
        }
        text
    }

    /// A configuration file's text with the edits in it, and all else as it was.
    fn put_into(&self, text: &str) -> io::Result<String> {
        let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            io::Error::new(io::ErrorKind::InvalidData, error.message().to_owned())
        })?;
        fn list<T: ToString>(values: &[T]) -> Value {
            let texts = values.iter().map(ToString::to_string);
            Value::Array(texts.collect::<Array>())
        }
        let values = [
            ("symbols", self.symbols.as_deref().map(list)),
            ("alerts", self.alerts.as_deref().map(list)),
            ("sort", self.sort.map(|sort| sort.to_string().into())),
        ];
        for (key, value) in values {
            let Some(mut value) = value else { continue };
            // With the comments that stand before and behind it.
            match document.get_mut(key) {
                Some(item) => {
                    if let Some(before) = item.as_value() {
                        *value.decor_mut() = before.decor().clone();
                    }
                    *item = Item::Value(value);
                }
                None => drop(document.insert(key, Item::Value(value))),
            }
        }
        Ok(document.to_string())
    }
}

/// Writes the edits into a configuration file, which is made if it is not there. It is replaced as a
/// whole, so that it is never half of one.
///
/// # Errors
///
/// When it cannot be read or written, or is no configuration file; it is then what it was.
pub(crate) fn write(path: &Path, edits: &Edits) -> io::Result<()> {
    // What a link leads to is replaced, not the link.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let before = match fs::read(&path) {
        Ok(bytes) => {
            let text = text_file::decode(&bytes).map_err(io::Error::other)?;
            Some(text_file::with_line_feeds(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let text = edits.put_into(before.as_deref().unwrap_or_default())?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = beside(&path);
    let written = write_new(&new, &text, before.is_some().then_some(&*path))
        .and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        // It is ours, and nothing refers to it.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_new(new: &Path, text: &str, like: Option<&Path>) -> io::Result<()> {
    let mut file = fs::File::create(new)?;
    file.write_all(text.as_bytes())?;
    if let Some(old) = like {
        file.set_permissions(fs::metadata(old)?.permissions())?;
    }
    file.sync_all()
}

/// A name in the same folder that is nobody else's.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(symbols: &[&str], alerts: &[&str], sort: &str) -> Watched {
        Watched {
            symbols: symbols
                .iter()
                .map(|s| s.parse().expect("a symbol"))
                .collect(),
            alerts: alerts
                .iter()
                .map(|s| s.parse().expect("an alert"))
                .collect(),
            sort: sort.parse().expect("an order"),
        }
    }

    #[test]
    fn only_what_is_different_is_an_edit() {
        let before = watched(&["AAPL", "F"], &["AAPL>1"], "given");
        assert!(before.edits_to(&before).is_empty());
        for (now, what) in [
            (watched(&["F", "AAPL"], &["AAPL>1"], "given"), "symbols"),
            (watched(&["AAPL"], &[], "given"), "symbols and alerts"),
            (watched(&["F"], &[], "last"), "symbols, alerts and order"),
            (watched(&["AAPL", "F"], &["AAPL>1"], "last:asc"), "order"),
        ] {
            assert_eq!(before.edits_to(&now).what(), what);
        }
    }

    #[test]
    fn the_arguments_bring_it_back() {
        let now = watched(
            &["^GSPC", "BRK.B"],
            &["BRK.B>490.5", "^GSPC%<-2"],
            "percent",
        );
        assert_eq!(
            now.arguments(),
            "^GSPC BRK.B --alert 'BRK.B>490.5' --alert '^GSPC%<-2' --sort percent"
        );
        assert_eq!(watched(&["F"], &[], "given").arguments(), "F");
    }

    #[test]
    fn a_file_keeps_what_is_not_edited() {
        let before = "# mine\n\
                      server = \"quotes.lan\" # at work\n\n\
                      # cars first\n\
                      symbols = [\"F\", \"GM\"] # two\n\
                      sort = \"last\"\n";
        let edits = watched(&["F", "GM"], &[], "last").edits_to(&watched(
            &["AAPL", "EURUSD=X"],
            &["AAPL>250"],
            "last",
        ));
        assert_eq!(
            edits.put_into(before).expect("a file"),
            "# mine\n\
             server = \"quotes.lan\" # at work\n\n\
             # cars first\n\
             symbols = [\"AAPL\", \"EURUSD=X\"] # two\n\
             sort = \"last\"\n\
             alerts = [\"AAPL>250\"]\n"
        );
        assert!(edits.put_into("symbols = [").is_err());
    }

    #[test]
    fn a_file_is_made_or_replaced_and_a_link_stays_one() {
        let folder = std::env::temp_dir().join(format!("keep-test-{}", std::process::id()));
        let path = folder.join("deep/config.toml");
        let edits = watched(&[], &[], "given").edits_to(&watched(&["AAPL"], &[], "last"));
        write(&path, &edits).expect("it is made");
        let expected = "symbols = [\"AAPL\"]\nsort = \"last\"\n";
        assert_eq!(fs::read_to_string(&path).expect("it is there"), expected);
        #[cfg(unix)]
        {
            let link = folder.join("link.toml");
            std::os::unix::fs::symlink(&path, &link).expect("a link");
            let edits = watched(&[], &[], "given").edits_to(&watched(&["F"], &[], "given"));
            write(&link, &edits).expect("it is replaced");
            assert!(link.is_symlink());
            let text = fs::read_to_string(&path).expect("it is there");
            assert_eq!(text, "symbols = [\"F\"]\nsort = \"last\"\n");
        }
        // As some editors write it.
        let edits = watched(&[], &[], "given").edits_to(&watched(&["GM"], &[], "given"));
        fs::write(&path, "\u{feff}symbols = []\rsort = \"last\"\r").expect("it is written");
        write(&path, &edits).expect("it is replaced");
        let text = fs::read_to_string(&path).expect("it is there");
        assert_eq!(text, "symbols = [\"GM\"]\nsort = \"last\"\n");
        fs::write(&path, "sort = [").expect("it is written");
        assert!(write(&path, &edits).is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "sort = [");
        let files = fs::read_dir(folder.join("deep")).expect("a folder").count();
        assert_eq!(files, 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).expect("it is removed");
    }
}
