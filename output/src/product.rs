//! What a program was started for: a list, a script, its help. This waits for its reader.
//!
//! A pipe that was closed (`| head -1`) belongs to a reader who has seen enough, and is no error.

use std::{
    fmt::Display,
    io::{self, Write},
    process,
    time::Duration,
};

use clap::{CommandFactory, Parser, error::ErrorKind};
use proto::text::lines;

use crate::{charset, stderr};

/// How long a reader of the last words may stand still.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes `text` to stdout.
///
/// # Errors
/// It could not be written, for another reason than that nobody reads it any more.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    unless_closed(out.write_all(text).and_then(|()| out.flush()))
}

/// The command line. `--help`, `--version` and mistakes end the program, with the exit code
/// `not_written` where help could not be written.
pub fn parse<Args: Parser>(not_written: u8) -> Args {
    let answer = match Args::try_parse() {
        Ok(args) => return args,
        Err(mistake) if mistake.use_stderr() => end_over(&mistake),
        Err(answer) => answer,
    };
    if let Err(error) = unless_closed(print_answer(&answer)) {
        stderr().line(format!("cannot write the help to stdout: {error}\n"));
        let _ = stderr().finish(LAST_WORDS);
        process::exit(not_written.into());
    }
    process::exit(answer.exit_code())
}

/// Ends the program over settings that [`parse`] cannot judge, as over a mistake that it can.
pub fn wrong_usage<Args: CommandFactory>(why: impl Display) -> ! {
    end_over(&Args::command().error(ErrorKind::ValueValidation, why))
}

fn end_over(mistake: &clap::Error) -> ! {
    // The exit code says it also where nobody reads the words.
    let _ = print_answer(mistake);
    process::exit(mistake.exit_code())
}

/// With the library's colours, or as plain text where something has to be shown in another form. A
/// mistake repeats what was typed or what stands in the environment; that is shown, not obeyed.
fn print_answer(answer: &clap::Error) -> io::Result<()> {
    let text = answer.render().to_string();
    let text_shown = match answer.use_stderr() {
        true => lines(&text),
        false => text.clone(),
    };
    let shown = charset::text(&text_shown);
    if shown == text {
        answer.print()?;
        return io::stdout().flush();
    }
    match answer.use_stderr() {
        true => io::stderr().lock().write_all(shown.as_bytes()),
        false => {
            let mut out = io::stdout().lock();
            out.write_all(shown.as_bytes()).and_then(|()| out.flush())
        }
    }
}

fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
