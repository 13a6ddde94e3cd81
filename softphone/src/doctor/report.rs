//! All findings together: lines for people, JSON for programs, and the exit code. Pure.

use std::time::Duration;

use proto::text::one_line;
use serde_json::{Value, json};

use super::finding::{Check, Finding, Fix, Status};
use crate::report::printable_json::printable;

/// What the program ends with when a required check failed. 2 is clap's: wrong usage.
const EXIT_FAILED: u8 = 1;

/// Where the message begins: behind the word and the title.
const INDENT: usize = 6 + Check::WIDEST + 2;

/// A check, its finding, and how long it took.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    check: Check,
    finding: Finding,
    took: Duration,
}

/// The findings so far, in the order of the checks.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    entries: Vec<Entry>,
}

impl Report {
    /// Adds what a check found.
    pub(super) fn add(&mut self, check: Check, finding: Finding, took: Duration) {
        self.entries.push(Entry {
            check,
            finding,
            took,
        });
    }

    /// 0 when no required check failed.
    pub(super) fn exit_code(&self) -> u8 {
        match self.failed().next() {
            None => 0,
            Some(_) => EXIT_FAILED,
        }
    }

    /// The lines of the newest finding, none longer than `width` characters unless one word is.
    pub(super) fn newest(&self, width: usize, colour: bool) -> String {
        let Some(entry) = self.entries.last() else {
            return String::new();
        };
        let text = lines(entry, width);
        let word = entry.finding.status.word();
        match text.strip_prefix(word) {
            Some(rest) if colour => format!("{}{rest}", painted(word, entry.finding.status)),
            _ => text,
        }
    }

    /// The last words: how it went, and what to do next.
    pub(super) fn summary(&self, width: usize, colour: bool) -> String {
        let failed: Vec<_> = self.failed().map(|check| check.title).collect();
        let warnings = self
            .entries
            .iter()
            .filter(|entry| entry.finding.status == Status::Warn)
            .count();
        let warned = match warnings {
            0 => String::new(),
            1 => ", with one warning".to_owned(),
            many => format!(", with {many} warnings"),
        };
        let text = match failed.as_slice() {
            [] => format!("Ready for calls: no required check failed{warned}."),
            [one] => format!(
                "Not ready for calls: {one} failed{warned}. Do what stands under \"fix\", and run it again."
            ),
            several => format!(
                "Not ready for calls: {} failed{warned}. Begin at the top, and run it again: one fix may mend several.",
                several.join(", ")
            ),
        };
        let text = wrapped("", &text, 0, width);
        let status = match failed.as_slice() {
            [] => Status::Ok,
            _ => Status::Fail,
        };
        if colour { painted(&text, status) } else { text }
    }

    /// Everything for programs. Keys stay; new ones may come.
    pub(super) fn json(&self) -> Value {
        let checks: Vec<_> = self
            .entries
            .iter()
            .map(
                |Entry {
                     check,
                     finding,
                     took,
                 }| {
                    json!({
                        "check": check.id,
                        "title": check.title,
                        "required": check.required,
                        "status": finding.status,
                        "fault": finding.fault,
                        "message": finding.message,
                        "fixes": finding.fixes,
                        "figures": finding.figures,
                        "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    })
                },
            )
            .collect();
        printable(json!({
            "ready": self.failed().next().is_none(),
            "exit_code": self.exit_code(),
            "checks": checks,
        }))
    }

    fn failed(&self) -> impl Iterator<Item = Check> {
        self.entries
            .iter()
            .filter(|entry| entry.check.required && entry.finding.status == Status::Fail)
            .map(|entry| entry.check)
    }
}

/// In the colour of this status, by the terminal's own palette: right on dark and on light.
fn painted(text: &str, status: Status) -> String {
    let colour = match status {
        Status::Ok => 32,
        Status::Warn => 33,
        Status::Fail => 31,
        Status::Skip => 2,
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

/// What stands where a finding will, while its check lasts.
pub(super) fn progress(check: Check, width: usize) -> String {
    let line = format!("{:<6}{:<19}{} ...", "", check.title, check.doing);
    line.chars().take(width).collect()
}

fn lines(entry: &Entry, width: usize) -> String {
    let Entry { check, finding, .. } = entry;
    let optional = if check.required { "" } else { " (optional)" };
    let head = format!("{:<6}{:<19}", finding.status.word(), check.title);
    let mut text = wrapped(
        &head,
        &format!("{}{optional}", finding.message),
        INDENT,
        width,
    );
    for detail in &finding.details {
        text.push('\n');
        text += &wrapped(&" ".repeat(INDENT), detail, INDENT + 4, width);
    }
    for (index, fix) in finding.fixes.iter().enumerate() {
        let label = if index == 0 { "fix: " } else { "or:  " };
        let head = format!("{:>INDENT$}", label);
        text.push('\n');
        text += &wrapped(&head, &fix_words(fix), INDENT, width);
    }
    text
}

fn fix_words(fix: &Fix) -> String {
    match &fix.command {
        Some(command) => format!("{}: {command}", fix.advice),
        None => fix.advice.clone(),
    }
}

/// `text` after `head`, broken between words; further lines begin with `indent` spaces. A terminal
/// so narrow that nothing would stand beside the indent does without most of it.
fn wrapped(head: &str, text: &str, indent: usize, width: usize) -> String {
    let indent = if width < indent + 24 {
        indent.min(2)
    } else {
        indent
    };
    let mut out = head.to_owned();
    let mut column = head.chars().count();
    let mut first_word = true;
    for word in one_line(text).split_whitespace() {
        let length = word.chars().count();
        let space = usize::from(!first_word);
        if column + space + length > width && column > indent {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if !first_word {
            out.push(' ');
            column += 1;
        }
        out += word;
        column += length;
        first_word = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::fault::Fault;

    const REQUIRED: Check = Check {
        id: "speaker",
        title: "speaker",
        required: true,
        doing: "playing a tone",
    };
    const OPTIONAL: Check = Check {
        id: "real_time",
        title: "real-time threads",
        required: false,
        doing: "asking",
    };

    fn report(entries: &[(Check, Finding)]) -> Report {
        let mut report = Report::default();
        for (check, finding) in entries {
            report.add(*check, finding.clone(), Duration::from_millis(12));
        }
        report
    }

    fn fix() -> Fix {
        Fix::command("start it", "server --listen 0.0.0.0:50051 --insecure")
    }

    #[test]
    fn only_a_required_check_that_failed_fails_the_whole() {
        for (check, finding, code) in [
            (REQUIRED, Finding::ok("fine"), 0),
            (REQUIRED, Finding::warn(Fault::SoundGaps, "quiet", fix()), 0),
            (REQUIRED, Finding::skip("not tried"), 0),
            (REQUIRED, Finding::fail(Fault::NoSpeaker, "gone", fix()), 1),
            (OPTIONAL, Finding::fail(Fault::NoSpeaker, "gone", fix()), 0),
        ] {
            let report = report(&[(OPTIONAL, Finding::ok("fine")), (check, finding.clone())]);
            assert_eq!(report.exit_code(), code, "{finding:?}");
            assert_eq!(report.json()["ready"], code == 0);
            assert_eq!(report.summary(80, false).starts_with("Ready"), code == 0);
        }
    }

    #[test]
    fn people_read_the_word_the_check_the_finding_and_the_fix() {
        let finding = Finding::fail(Fault::NoSpeaker, "nobody answers", fix())
            .or(Fix::advice("ask the administrator"))
            .with_details(vec!["* one".to_owned()]);
        let text = report(&[(REQUIRED, finding)]).newest(usize::MAX, false);
        assert_eq!(
            text,
            "FAIL  speaker            nobody answers\n                         \
             * one\n                    fix: start it: server --listen 0.0.0.0:50051 --insecure\n                    \
             or:  ask the administrator"
        );
        let optional = report(&[(OPTIONAL, Finding::skip("not here"))]).newest(80, false);
        assert_eq!(optional, "skip  real-time threads  not here (optional)");
    }

    #[test]
    fn lines_fit_the_terminal_and_lose_no_word() {
        let words = "the microphone opened and nothing at all came from it for one whole second";
        let report = report(&[(REQUIRED, Finding::fail(Fault::NoSpeaker, words, fix()))]);
        for width in [30, 50, 80, 200] {
            let text = report.newest(width, false);
            for line in text.lines() {
                // The longest head is as wide as the indent.
                assert!(
                    line.chars().count() <= width.max(INDENT),
                    "{width}: {line:?}"
                );
            }
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(words), "{width}: {text}");
        }
        assert!(progress(REQUIRED, 30).chars().count() <= 30);
    }

    #[test]
    fn colour_is_put_around_the_word_and_changes_no_line() {
        for (finding, colour) in [
            (Finding::ok("fine"), "\x1b[32mok\x1b[0m "),
            (
                Finding::warn(Fault::SoundGaps, "gaps", fix()),
                "\x1b[33mwarn\x1b[0m ",
            ),
            (
                Finding::fail(Fault::NoSpeaker, "gone", fix()),
                "\x1b[31mFAIL\x1b[0m ",
            ),
        ] {
            let report = report(&[(REQUIRED, finding)]);
            let text = report.newest(40, true);
            assert!(text.starts_with(colour), "{text:?}");
            let plain = report.newest(40, false);
            assert_eq!(text.lines().count(), plain.lines().count());
            assert!(!plain.contains('\x1b'));
        }
    }

    #[test]
    fn the_summary_names_what_failed_and_counts_warnings() {
        let failed = Finding::fail(Fault::NoSpeaker, "gone", fix());
        let both = report(&[(REQUIRED, failed.clone()), (REQUIRED, failed.clone())]);
        assert!(
            both.summary(usize::MAX, false)
                .contains("speaker, speaker failed")
        );
        let warned = report(&[(REQUIRED, Finding::warn(Fault::SoundGaps, "silent", fix()))]);
        assert!(warned.summary(80, false).contains("one warning"));
    }

    #[test]
    fn programs_get_every_part() {
        let finding = Finding::fail(Fault::NoSpeaker, "nobody answers", fix())
            .with_figures(json!({"tries": 3}));
        let json = report(&[(REQUIRED, finding)]).json();
        let check = &json["checks"][0];
        assert_eq!(check["check"], "speaker");
        assert_eq!(check["required"], true);
        assert_eq!(check["status"], "fail");
        assert_eq!(check["fault"], "no_speaker");
        assert_eq!(check["message"], "nobody answers");
        assert_eq!(check["fixes"][0]["advice"], "start it");
        assert!(
            check["fixes"][0]["command"]
                .as_str()
                .unwrap()
                .starts_with("server")
        );
        assert_eq!(check["figures"]["tries"], 3);
        assert_eq!(check["took_ms"], 12);
        assert_eq!(json["exit_code"], 1);
    }
}
