//! Writing to a terminal, a file or a pipe without ever waiting for whoever reads it.
//!
//! A thread of its own writes; the rest of the program only leaves text for it. A reader that stands
//! still loses text: of pictures all but the newest, of lines the oldest of more than
//! `MAX_WAITING_BYTES`. What has begun is written to its end, so no line is ever torn.

use std::{
    collections::VecDeque,
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use crate::charset;

/// Bytes of lines that wait at most: some thousands of lines of a log.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// How long the thread waits for a file that was set not to block.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Where text goes to. Dropped, it is not waited for: see [`Output::finish`].
///
/// As a [`Write`] it takes each write as one line, and none fails.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Shared>,
    /// All that is written is for people.
    is_for_people: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    /// Of `lines`.
    waiting_bytes: usize,
    picture: Option<Vec<u8>>,
    is_writing: bool,
    /// Lines that were never written.
    lost: u64,
    /// Those of them that no line has reported; `None`: losses are not reported.
    unreported: Option<u64>,
    /// Why the last write failed, if it did.
    failure: Option<io::Error>,
    is_closed: bool,
}

/// What the thread writes next.
enum Text {
    /// A line, and how many losses are reported before it.
    Line(Vec<u8>, u64),
    Picture(Vec<u8>),
}

impl Output {
    /// Writes to `sink`, each text at once if the sink takes it.
    pub fn to(sink: Box<dyn Write + Send>) -> Self {
        let shared = Arc::<Shared>::default();
        let thread_shared = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || thread_shared.write_all_to(sink));
        if let Err(error) = thread {
            // Nobody will ever write.
            let mut state = shared.lock();
            state.failure = Some(error);
            state.is_closed = true;
        }
        Self {
            shared,
            is_for_people: false,
        }
    }

    /// Only people read it: what their locale cannot show is written in ASCII.
    #[must_use]
    pub fn for_people(mut self) -> Self {
        self.is_for_people = true;
        self
    }

    /// Where lines were lost, a line says how many.
    #[must_use]
    pub fn reporting_losses(self) -> Self {
        self.shared.lock().unreported = Some(0);
        self
    }

    /// Text that is to be written in any case that allows it.
    pub fn line(&self, text: impl Into<Vec<u8>>) {
        let mut text = text.into();
        if self.is_for_people && !charset::is_utf8() {
            text = charset::ascii(&String::from_utf8_lossy(&text))
                .into_owned()
                .into_bytes();
        }
        let mut state = self.shared.lock();
        if state.is_closed {
            state.lose(1);
            return;
        }
        state.waiting_bytes += text.len();
        state.lines.push_back(text);
        while state.waiting_bytes > MAX_WAITING_BYTES
            && let Some(oldest) = state.lines.pop_front()
        {
            state.waiting_bytes -= oldest.len();
            state.lose(1);
        }
        self.shared.changed.notify_all();
    }

    /// Text that the next picture replaces where it was not written yet. Lines go first.
    pub fn picture(&self, text: impl Into<Vec<u8>>) {
        let mut state = self.shared.lock();
        if !state.is_closed {
            state.picture = Some(text.into());
            self.shared.changed.notify_all();
        }
    }

    /// A line instead of the picture that was not written yet.
    pub fn line_instead_of_picture(&self, text: impl Into<Vec<u8>>) {
        self.shared.lock().picture = None;
        self.line(text);
    }

    /// Whether all is written.
    pub fn is_idle(&self) -> bool {
        !self.shared.lock().is_busy()
    }

    /// Lines that were never written, of all until now.
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    /// Whether the last write was good.
    ///
    /// # Errors
    /// It was not.
    pub fn check(&self) -> io::Result<()> {
        self.shared.lock().check()
    }

    /// Waits until all is written, `limit` at most.
    ///
    /// # Errors
    /// The last of it was not written, or not in time.
    pub fn finish(&self, limit: Duration) -> io::Result<()> {
        let state = self.shared.lock();
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, |state| state.is_busy());
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match timeout.timed_out() {
            true => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "nobody reads what is written there",
            )),
            false => state.check(),
        }
    }
}

impl Write for &Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl State {
    fn is_busy(&self) -> bool {
        !self.is_closed && (self.is_writing || !self.lines.is_empty() || self.picture.is_some())
    }

    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        if let Some(unreported) = &mut self.unreported {
            *unreported += lines;
        }
    }

    fn check(&self) -> io::Result<()> {
        match &self.failure {
            // With the system's number, where there is one, as an error can be had only once.
            Some(error) => Err(match error.raw_os_error() {
                Some(number) => io::Error::from_raw_os_error(number),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left text, at worst too little of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut sink: Box<dyn Write + Send>) {
        while let Some(text) = self.next() {
            let written = match &text {
                Text::Line(line, 0) => write_patiently(&mut sink, line),
                Text::Line(line, lost) => {
                    let mut both = format!(
                        "{lost} lines of log were lost: they could not be written in time\n"
                    )
                    .into_bytes();
                    both.extend_from_slice(line);
                    write_patiently(&mut sink, &both)
                }
                Text::Picture(picture) => write_patiently(&mut sink, picture),
            };
            let mut state = self.lock();
            state.is_writing = false;
            if let Text::Line(_, reported) = text {
                match (&written, &mut state.unreported) {
                    (Ok(()), Some(unreported)) => *unreported -= reported,
                    (Ok(()), None) => {}
                    (Err(_), _) => state.lose(1),
                }
            }
            state.failure = written.err();
            self.changed.notify_all();
        }
    }

    /// Waits for text; `None` when there will be none any more.
    fn next(&self) -> Option<Text> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(line) = state.lines.pop_front() {
                state.waiting_bytes -= line.len();
                state.is_writing = true;
                return Some(Text::Line(line, state.unreported.unwrap_or(0)));
            }
            if let Some(picture) = mem::take(&mut state.picture) {
                state.is_writing = true;
                return Some(Text::Picture(picture));
            }
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A terminal may have been set not to block by another program that has it open.
fn write_patiently(sink: &mut dyn Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match sink.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(RETRY_INTERVAL);
            }
            Err(error) => return Err(error),
        }
    }
    sink.flush()
}

/// The same file without the library's buffer and lock: a picture is one write, and a write that
/// never ends keeps nobody else from trying.
#[cfg(unix)]
pub(crate) fn unbuffered(
    file: impl std::os::fd::AsFd + Write + Send + 'static,
) -> Box<dyn Write + Send> {
    match file.as_fd().try_clone_to_owned() {
        Ok(file) => Box::new(std::fs::File::from(file)),
        Err(_) => Box::new(file),
    }
}

#[cfg(not(unix))]
pub(crate) fn unbuffered(file: impl Write + Send + 'static) -> Box<dyn Write + Send> {
    Box::new(file)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Takes a text only when it is allowed to, and then tells it.
    struct Gate {
        allowed: mpsc::Receiver<io::Result<()>>,
        begun: mpsc::Sender<()>,
        written: mpsc::Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            self.allowed.recv().unwrap_or(Ok(()))?;
            let _ = self
                .written
                .send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Reader {
        allow: mpsc::Sender<io::Result<()>>,
        begun: mpsc::Receiver<()>,
        written: mpsc::Receiver<String>,
    }

    fn output() -> (Output, Reader) {
        let (allow, allowed) = mpsc::channel();
        let (begun_tx, begun) = mpsc::channel();
        let (written_tx, written) = mpsc::channel();
        let gate = Gate {
            allowed,
            begun: begun_tx,
            written: written_tx,
        };
        let reader = Reader {
            allow,
            begun,
            written,
        };
        (Output::to(Box::new(gate)), reader)
    }

    #[test]
    fn a_reader_that_stands_still_gets_the_newest_picture_and_the_newest_lines() {
        let (output, reader) = output();
        output.line("begun".to_owned());
        reader.begun.recv_timeout(LIMIT).unwrap();
        const LONG: usize = MAX_WAITING_BYTES / 64;
        for n in 0..1_000 {
            output.line(format!("line {n:<LONG$}"));
            output.picture(format!("picture {n}"));
        }
        assert!(!output.is_idle());
        let unread = output.finish(Duration::ZERO).unwrap_err();
        assert_eq!(unread.kind(), io::ErrorKind::TimedOut);
        drop(reader.allow);
        output.finish(LIMIT).unwrap();
        let written: Vec<String> = reader.written.try_iter().collect();
        // A line is five bytes longer than a 64th.
        assert_eq!(written.len(), 1 + 63 + 1);
        let words: Vec<&str> = written.iter().map(|text| text.trim_end()).collect();
        assert_eq!(words[..2], ["begun", "line 937"]);
        assert_eq!(words[63..], ["line 999", "picture 999"]);
        assert_eq!(output.lost(), 937);
    }

    #[test]
    fn what_could_not_be_written_is_told_at_the_end_and_a_passing_fault_is_forgotten() {
        let (output, reader) = output();
        for answer in [
            Err(io::ErrorKind::BrokenPipe),
            Err(io::ErrorKind::WouldBlock),
            Ok(()),
        ] {
            reader.allow.send(answer.map_err(io::Error::from)).unwrap();
        }
        output.line("lost");
        let broken = output.finish(LIMIT).unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
        output.line("tried twice");
        output.finish(LIMIT).unwrap();
        assert_eq!(
            reader.written.try_iter().collect::<Vec<_>>(),
            ["tried twice"]
        );
        assert_eq!(output.lost(), 1);
    }

    #[test]
    fn a_log_reports_what_it_lost_as_soon_as_it_can_be_written_again() {
        let (output, reader) = output();
        let output = output.reporting_losses();
        for _ in 0..3 {
            let full = io::ErrorKind::StorageFull;
            reader.allow.send(Err(full.into())).unwrap();
        }
        drop(reader.allow);
        for n in 0..5 {
            output.line(format!("line {n}\n"));
        }
        output.finish(LIMIT).unwrap();
        let written: String = reader.written.try_iter().collect();
        assert_eq!(
            written,
            "3 lines of log were lost: they could not be written in time\nline 3\nline 4\n"
        );
    }

    #[test]
    fn what_takes_the_place_of_a_picture_comes_after_the_lines_before_it() {
        let (output, reader) = output();
        output.line("begun");
        reader.begun.recv_timeout(LIMIT).unwrap();
        output.picture("never");
        output.line("line");
        output.line_instead_of_picture("last");
        drop(reader.allow);
        output.finish(LIMIT).unwrap();
        let written: Vec<String> = reader.written.try_iter().collect();
        assert_eq!(written, ["begun", "line", "last"]);
    }
}
