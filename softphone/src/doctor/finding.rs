//! What one check found, and what to do about it. Pure data: nothing is opened, printed or waited
//! for here.

use serde::Serialize;
use serde_json::Value;

use super::fault::Fault;
use crate::session::reachability::Remedy;

/// One thing that the doctor looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Check {
    /// Its name for programs; stays.
    pub(super) id: &'static str,
    /// Its name for people, at most [`Check::WIDEST`] characters.
    pub(super) title: &'static str,
    /// Whether calls are impossible without it.
    pub(super) required: bool,
    /// What is being done while it lasts, for somebody who waits.
    pub(super) doing: &'static str,
}

impl Check {
    /// Characters of the longest title.
    pub(super) const WIDEST: usize = 17;
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// Calls work, but something deserves a look.
    Warn,
    /// Calls cannot work like this.
    Fail,
    /// Not tried; the message says why.
    Skip,
}

impl Status {
    /// The word at the beginning of the line.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
            Self::Skip => "skip",
        }
    }
}

/// Something to do about what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fix {
    /// In words.
    pub(super) advice: String,
    /// As a command, where there is one.
    pub(super) command: Option<String>,
}

impl Fix {
    /// Words alone.
    pub(super) fn advice(advice: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            command: None,
        }
    }

    /// Words and the command that does it.
    pub(super) fn command(advice: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            command: Some(command.into()),
        }
    }
}

impl From<Remedy> for Fix {
    fn from(Remedy { advice, command }: Remedy) -> Self {
        Self { advice, command }
    }
}

/// One thing to do, where several may stand.
impl From<Fix> for Vec<Fix> {
    fn from(fix: Fix) -> Self {
        vec![fix]
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// How it went.
    pub(super) status: Status,
    /// What is wrong, for programs; there is none exactly when all is well or nothing was tried.
    pub(super) fault: Option<Fault>,
    /// One sentence.
    pub(super) message: String,
    /// More lines for people, such as one a device.
    pub(super) details: Vec<String>,
    /// What to do, the likeliest first.
    pub(super) fixes: Vec<Fix>,
    /// The same for programs: a JSON object of the check's own, or null.
    pub(super) figures: Value,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(message: impl Into<String>) -> Self {
        Self::new(Status::Ok, None, message.into(), Vec::new())
    }

    /// Not tried, and why.
    pub(super) fn skip(why: impl Into<String>) -> Self {
        Self::new(Status::Skip, None, why.into(), Vec::new())
    }

    /// It works, but look at this.
    pub(super) fn warn(fault: Fault, message: impl Into<String>, fix: impl Into<Vec<Fix>>) -> Self {
        Self::new(Status::Warn, Some(fault), message.into(), fix.into())
    }

    /// It does not work. There is no such finding without something to do about it.
    pub(super) fn fail(fault: Fault, message: impl Into<String>, fix: impl Into<Vec<Fix>>) -> Self {
        Self::new(Status::Fail, Some(fault), message.into(), fix.into())
    }

    fn new(status: Status, fault: Option<Fault>, message: String, fixes: Vec<Fix>) -> Self {
        Self {
            status,
            fault,
            message,
            details: Vec::new(),
            fixes,
            figures: Value::Null,
        }
    }

    /// Adds the next thing to try.
    #[must_use]
    pub(super) fn or(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    /// Adds lines for people.
    #[must_use]
    pub(super) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Adds figures for programs.
    #[must_use]
    pub(super) fn with_figures(mut self, figures: Value) -> Self {
        self.figures = figures;
        self
    }
}
