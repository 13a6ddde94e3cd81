//! Writing to a terminal or a pipe without ever waiting for whoever reads it.
//!
//! A thread of its own writes; the rest of the program only leaves text for it. A reader that stands
//! still loses text: of pictures all but the newest, of lines the oldest of more than
//! `MAX_WAITING_LINES`. What has begun is written to its end, so no line is ever torn.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Lines that wait at most.
const MAX_WAITING_LINES: usize = 64;

/// How long the thread waits for a file that was set not to block.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Where text goes to. Dropped, it is not waited for: see [`Output::finish`].
pub struct Output {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    picture: Option<String>,
    is_writing: bool,
    /// Whether the last write failed.
    has_failed: bool,
    is_closed: bool,
}

impl Output {
    /// Writes to stdout.
    pub fn stdout() -> Self {
        Self::to(unbuffered(io::stdout()))
    }

    /// Writes to stderr.
    pub fn stderr() -> Self {
        Self::to(unbuffered(io::stderr()))
    }

    /// Writes to `sink`, each text at once if the sink takes it.
    pub fn to(sink: Box<dyn Write + Send>) -> Self {
        let shared = Arc::<Shared>::default();
        let thread_shared = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || thread_shared.write_all_to(sink));
        if thread.is_err() {
            // Nobody will ever write.
            let mut state = shared.lock();
            state.has_failed = true;
            state.is_closed = true;
        }
        Self { shared }
    }

    /// Text that is to be written in any case that allows it.
    pub fn line(&self, text: String) {
        let mut state = self.shared.lock();
        if state.is_closed {
            return;
        }
        if state.lines.len() == MAX_WAITING_LINES {
            state.lines.pop_front();
        }
        state.lines.push_back(text);
        self.shared.changed.notify_all();
    }

    /// Text that the next picture replaces where it was not written yet. Lines go first.
    pub fn picture(&self, text: String) {
        let mut state = self.shared.lock();
        if !state.is_closed {
            state.picture = Some(text);
            self.shared.changed.notify_all();
        }
    }

    /// Waits until all is written, `limit` at most. Returns whether it was.
    pub fn finish(&self, limit: Duration) -> bool {
        let state = self.shared.lock();
        let is_busy = |state: &mut State| {
            !state.is_closed
                && (state.is_writing || !state.lines.is_empty() || state.picture.is_some())
        };
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, limit, is_busy);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        !timeout.timed_out() && !state.has_failed
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left text, at worst too little of it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut sink: Box<dyn Write + Send>) {
        while let Some(text) = self.next() {
            let written = write_patiently(&mut sink, text.as_bytes());
            let mut state = self.lock();
            state.is_writing = false;
            state.has_failed = written.is_err();
            self.changed.notify_all();
        }
    }

    /// Waits for text; `None` when there will be none any more.
    fn next(&self) -> Option<String> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            let lines = &mut state.lines;
            if let Some(text) = lines.pop_front().or_else(|| state.picture.take()) {
                state.is_writing = true;
                return Some(text);
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
fn unbuffered(file: impl std::os::fd::AsFd + Write + Send + 'static) -> Box<dyn Write + Send> {
    match file.as_fd().try_clone_to_owned() {
        Ok(file) => Box::new(std::fs::File::from(file)),
        Err(_) => Box::new(file),
    }
}

#[cfg(not(unix))]
fn unbuffered(file: impl Write + Send + 'static) -> Box<dyn Write + Send> {
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
        for n in 0..1_000 {
            output.line(format!("line {n}"));
            output.picture(format!("picture {n}"));
        }
        assert!(!output.finish(Duration::ZERO));
        drop(reader.allow);
        assert!(output.finish(LIMIT));
        let written: Vec<String> = reader.written.try_iter().collect();
        assert_eq!(written.len(), 1 + MAX_WAITING_LINES + 1);
        assert_eq!(written[0], "begun");
        assert_eq!(written[1], format!("line {}", 1_000 - MAX_WAITING_LINES));
        assert_eq!(written[MAX_WAITING_LINES], "line 999");
        assert_eq!(written[MAX_WAITING_LINES + 1], "picture 999");
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
        output.line("lost".to_owned());
        assert!(!output.finish(LIMIT));
        output.line("tried twice".to_owned());
        assert!(output.finish(LIMIT));
        assert_eq!(
            reader.written.try_iter().collect::<Vec<_>>(),
            ["tried twice"]
        );
    }
}
