//! A program under test: started, listened to, and never left behind.

use std::{
    fmt,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What a program said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All it wrote to stdout.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

/// Runs a program to its end, with `stdin` as its whole input (`None`: no input at all).
///
/// # Panics
///
/// When it cannot be started, or has not ended within `timeout`; the message holds what it had said
/// until then.
pub fn run(bin: impl AsRef<Path>, args: &[&str], stdin: Option<&str>, timeout: Duration) -> Output {
    let mut process = Process::start(bin, args, &[]);
    if let Some(text) = stdin {
        process.write(text);
    }
    process.close_stdin();
    process.wait(timeout)
}

/// A running program. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
}

impl Process {
    /// Starts `bin` with `args` and, on top of this process's own environment and a locale that knows
    /// UTF-8, `env`. Signals do what they do to a program that a person starts, also where the tests
    /// themselves run under `nohup` or in a script's background.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start(bin: impl AsRef<Path>, args: &[&str], env: &[(String, String)]) -> Self {
        Self::start_into(bin, args, env, Stdio::piped(), Stdio::piped())
    }

    /// The same with other outputs. What does not go to a pipe of ours is not captured.
    ///
    /// # Panics
    ///
    /// When it cannot be started.
    pub fn start_into(
        bin: impl AsRef<Path>,
        args: &[&str],
        env: &[(String, String)],
        stdout: Stdio,
        stderr: Stdio,
    ) -> Self {
        let bin = bin.as_ref();
        let mut child = with_default_signals(bin)
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", bin.display()));
        Self {
            name: bin
                .file_name()
                .unwrap_or(bin.as_os_str())
                .to_string_lossy()
                .into_owned(),
            stdin: child.stdin.take(),
            stdout: Captured::start(child.stdout.take()),
            stderr: Captured::start(child.stderr.take()),
            child,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout until now.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to stderr until now.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Writes to its stdin. A program that has ended or closed its stdin does not read it, which is
    /// not an error.
    pub fn write(&mut self, text: &str) {
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin
                .write_all(text.as_bytes())
                .and_then(|()| stdin.flush());
        }
    }

    /// Ends its stdin.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for a whole line on stdout that contains `text`, and returns the line.
    ///
    /// # Panics
    ///
    /// When the program ends without one, or `timeout` passes.
    pub fn wait_for_stdout(&self, text: &str, timeout: Duration) -> String {
        self.wait_for_line(&self.stdout, "stdout", text, timeout)
    }

    /// Waits for a whole line on stderr that contains `text`, and returns the line.
    ///
    /// # Panics
    ///
    /// When the program ends without one, or `timeout` passes.
    pub fn wait_for_stderr(&self, text: &str, timeout: Duration) -> String {
        self.wait_for_line(&self.stderr, "stderr", text, timeout)
    }

    fn wait_for_line(
        &self,
        captured: &Captured,
        stream: &str,
        text: &str,
        timeout: Duration,
    ) -> String {
        captured.wait_for(text, timeout).unwrap_or_else(|why| {
            panic!(
                "no line with `{text}` on the {stream} of {}: {why}\n{self}",
                self.name
            )
        })
    }

    /// Sends a signal by its name without SIG: `TERM`, `INT`, `STOP`, `CONT`, `KILL`.
    ///
    /// # Panics
    ///
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: &str) {
        send_signal(self.id(), signal);
    }

    /// The exit status if the program has ended, without waiting.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end of the program.
    ///
    /// # Panics
    ///
    /// When it has not ended within `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Output {
        // Not `Child::wait`, which has no limit and would close a stdin that a test keeps open.
        let deadline = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {timeout:?}\n{self}",
                self.name
            );
            thread::sleep(Duration::from_millis(5));
        };
        Output {
            code: status.code(),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }
}

/// A program inherits which signals are ignored, and only `env` of GNU can undo that for it.
fn with_default_signals(bin: &Path) -> Command {
    const INTERRUPT_AND_HANG_UP: u64 = 0b11;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    if mask.unwrap_or(0) & INTERRUPT_AND_HANG_UP == 0 {
        return Command::new(bin);
    }
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,HUP").arg(bin);
    command
}

/// Sends a signal by its name without SIG to a process.
///
/// # Panics
///
/// When it cannot be sent.
pub fn send_signal(id: u32, signal: &str) {
    // The shell's own `kill`: a small image may have no program of that name.
    let status = Command::new("sh")
        .args(["-c", "kill -\"$0\" \"$1\"", signal, &id.to_string()])
        .status()
        .expect("sh can be started");
    assert!(status.success(), "cannot send SIG{signal} to process {id}");
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a program that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for Process {
    /// Everything it said, for the message of a failed test.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            stdout,
            stderr,
            ..
        } = self;
        write!(
            f,
            "--- {name}, stdout:\n{}\n--- {name}, stderr:\n{}",
            stdout.text(),
            stderr.text()
        )
    }
}

/// One output stream of a program, read by a thread of its own so that the program never blocks.
struct Captured {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Captured {
    fn start(stream: Option<impl Read + Send + 'static>) -> Self {
        let shared = Arc::new(Shared::default());
        let Some(mut stream) = stream else {
            shared.lock().ended = true;
            return Self {
                shared,
                reader: None,
            };
        };
        let reader = thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut buffer = [0; 4096];
                loop {
                    let count = stream.read(&mut buffer).unwrap_or(0);
                    let mut state = shared.lock();
                    state.bytes.extend_from_slice(&buffer[..count]);
                    state.ended = count == 0;
                    shared.changed.notify_all();
                    if count == 0 {
                        return;
                    }
                }
            }
        });
        Self {
            shared,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().bytes).into_owned()
    }

    /// All of it, once the program has ended.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reading thread does not panic");
        }
        self.text()
    }

    /// The first whole line that contains `text`, or why there is none.
    fn wait_for(&self, text: &str, timeout: Duration) -> Result<String, String> {
        let deadline = Instant::now() + timeout;
        let mut state = self.shared.lock();
        loop {
            let so_far = String::from_utf8_lossy(&state.bytes);
            let mut lines = so_far
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if let Some(line) = lines.find(|line| line.contains(text)) {
                return Ok(line.trim_end().to_owned());
            }
            if state.ended {
                return Err("it ended".to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("{timeout:?} have passed"));
            }
            let changed = self.shared.changed.wait_timeout(state, left);
            state = changed.expect("the reading thread does not panic").0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("the reading thread does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_is_run_to_its_end() {
        let script = "read word; echo \"heard $word\"; echo oops >&2; exit 3";
        let output = run("/bin/sh", &["-c", script], Some("hello\n"), LIMIT);
        assert_eq!(
            output,
            Output {
                code: Some(3),
                stdout: "heard hello\n".to_owned(),
                stderr: "oops\n".to_owned()
            }
        );
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_hang_fails_with_words() {
        run(
            "/bin/sh",
            &["-c", "exec sleep 60"],
            None,
            Duration::from_millis(50),
        );
    }

    #[test]
    fn only_whole_lines_are_found() {
        let script = "printf 'part '; read go; echo whole; read end";
        let mut process = Process::start("/bin/sh", &["-c", script], &[]);
        process.write("go\n");
        assert_eq!(process.wait_for_stdout("part", LIMIT), "part whole");
    }

    #[test]
    #[should_panic(expected = "it ended")]
    fn a_line_that_cannot_come_is_not_waited_for() {
        Process::start("/bin/sh", &["-c", "true"], &[]).wait_for_stdout("never", LIMIT);
    }

    #[test]
    fn a_signal_arrives() {
        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        let mut process = Process::start("/bin/sh", &["-c", script], &[]);
        process.wait_for_stdout("ready", LIMIT);
        process.signal("TERM");
        assert_eq!(process.wait(LIMIT).code, Some(7));
    }

    #[test]
    fn a_dropped_program_is_gone() {
        let process = Process::start("/bin/sh", &["-c", "exec sleep 60"], &[]);
        let id = process.id();
        drop(process);
        let gone = Command::new("sh")
            .args(["-c", "kill -0 \"$0\" 2>/dev/null", &id.to_string()])
            .status()
            .expect("sh can be started");
        assert!(!gone.success(), "process {id} still runs");
    }
}
