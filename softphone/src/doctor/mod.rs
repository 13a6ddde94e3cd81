//! `softphone doctor`: looks at everything that a call needs, one check after the other, and says
//! what to do about what is wrong.
//!
//! Runs on the main thread, which never waits for longer than a check may take: whatever may hang
//! runs aside and is abandoned. What was found is judged by pure functions, and printed elsewhere
//! than it is found.

#[cfg(target_os = "linux")]
mod alsa_mixer;
mod fault;
mod finding;
mod fixes;
mod hosts;
mod microphone;
mod mixer;
mod printer;
#[cfg(target_os = "linux")]
mod pulse_mixer;
mod real_time;
mod report;
mod round_trip;
mod server;
mod speaker;

use std::{
    io,
    time::{Duration, Instant},
};

use proto::ServerAddress;

use crate::{
    args::DoctorArgs,
    device::{
        self, DeviceError, DeviceOptions,
        selection::list,
        stream::deadline::{Outstanding, aside},
    },
};
use fault::Fault;
use finding::{Check, Finding, Fix, Status};
use mixer::Mixer;
use printer::Printer;
use report::Report;

/// No check takes longer.
const LIMIT: Duration = Duration::from_secs(10);

/// A mixer that does not answer in this time is not asked.
const MIXER_LIMIT: Duration = Duration::from_secs(3);

const HOSTS: Check = required("audio_hosts", "audio hosts", "asking each audio host");
const DEVICES: Check = required("devices", "devices", "listing");
const MICROPHONE: Check = required("microphone", "microphone", "listening for a second");
const SPEAKER: Check = required("speaker", "speaker", "playing a short tone");
const ROUND_TRIP: Check = optional(
    "acoustic_round_trip",
    "acoustic loop",
    "playing chirps and listening for them",
);
const REAL_TIME: Check = optional("real_time_threads", "real-time threads", "asking for one");
const SERVER: Check = required("server", "server", "connecting");
const HEALTH: Check = required("health", "server's health", "asking");
const CALL: Check = required("call", "call", "calling for a second");

const fn required(id: &'static str, title: &'static str, doing: &'static str) -> Check {
    Check {
        id,
        title,
        required: true,
        doing,
    }
}

const fn optional(id: &'static str, title: &'static str, doing: &'static str) -> Check {
    Check {
        required: false,
        ..required(id, title, doing)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// There is no such audio host.
    #[error(transparent)]
    UnknownHost(#[from] DeviceError),
    /// Whoever asked has not read it all.
    #[error("the findings could not be written to stdout: {0}")]
    NotWritten(io::Error),
}

/// Makes all checks and prints what they find. Returns the exit code: 0 when no required check
/// failed, else 1.
///
/// # Errors
/// There is no such audio host, so that nothing was checked; or what was found could not be written.
pub fn doctor(args: &DoctorArgs) -> Result<u8, DoctorError> {
    device::known_host(args.audio_host.as_deref())?;
    let mut doctor = Doctor {
        report: Report::default(),
        printer: Printer::new(args.json),
    };
    doctor.check_sound(args);
    doctor.check(REAL_TIME, real_time::check);
    doctor.check_server(&args.server);
    let Doctor {
        report,
        mut printer,
    } = doctor;
    printer.finish(&report).map_err(DoctorError::NotWritten)?;
    Ok(report.exit_code())
}

struct Doctor {
    report: Report,
    printer: Printer,
}

impl Doctor {
    fn check_sound(&mut self, args: &DoctorArgs) {
        let host = args.audio_host.as_deref();
        let options = DeviceOptions {
            host: args.audio_host.clone(),
            input: args.input.clone(),
            output: args.output.clone(),
            ..DeviceOptions::default()
        };
        self.printer.show_progress(HOSTS);
        let began = Instant::now();
        // Bounded by itself, host by host.
        let list = list::list();
        self.note(HOSTS, hosts::judge_hosts(&list, host), began);
        self.note(DEVICES, hosts::judge_devices(&list, host), Instant::now());
        let Some(host) = hosts::used_host(&list, host) else {
            for check in [MICROPHONE, SPEAKER, ROUND_TRIP] {
                self.skip(check, "not tried: first mend what stands above");
            }
            return;
        };
        let mixer = read_mixer(host, options.input.as_deref());
        let wish = options.clone();
        let microphone = self.check(MICROPHONE, move || microphone::check(&wish, mixer.as_ref()));
        let mixer = read_mixer(host, options.output.as_deref());
        let (wish, quiet) = (options.clone(), args.quiet);
        let speaker = self.check(SPEAKER, move || {
            speaker::check(&wish, mixer.as_ref(), quiet)
        });
        if args.quiet {
            self.skip(ROUND_TRIP, "not tried: --quiet");
        } else if [microphone, speaker].contains(&Status::Fail) {
            self.skip(ROUND_TRIP, "not tried: needs a microphone and a speaker");
        } else {
            self.check(ROUND_TRIP, move || round_trip::check(&options));
        }
    }

    fn check_server(&mut self, server: &ServerAddress) {
        let address = server.clone();
        let asked = || {
            let address = address.clone();
            move || on_tokio(async move { server::check_connection(&address).await })
        };
        if self.check(SERVER, asked()) == Status::Fail {
            self.skip(HEALTH, "not asked: first the server must be reached");
            self.skip(CALL, "not tried: first the server must be reached");
            return;
        }
        let address = server.clone();
        let healthy = self.check(HEALTH, move || {
            on_tokio(async move { server::check_health(&address).await })
        });
        if healthy == Status::Fail {
            self.skip(CALL, "not tried: first the server must be well");
            return;
        }
        let address = server.clone();
        self.check(CALL, move || {
            on_tokio(async move { server::check_call(&address).await })
        });
    }

    /// Makes one check aside, and gives it up when it does not end.
    fn check(&mut self, check: Check, work: impl FnOnce() -> Finding + Send + 'static) -> Status {
        self.printer.show_progress(check);
        let began = Instant::now();
        let finding = match aside("doctor", &Outstanding::default(), work) {
            Ok(work) => work.wait(LIMIT).unwrap_or_else(|| gave_up(check)),
            Err(error) => no_thread(&error),
        };
        self.note(check, finding, began)
    }

    fn skip(&mut self, check: Check, why: &str) {
        self.note(check, Finding::skip(why), Instant::now());
    }

    fn note(&mut self, check: Check, finding: Finding, began: Instant) -> Status {
        let status = finding.status;
        self.report.add(check, finding, began.elapsed());
        self.printer.show_newest(&self.report);
        status
    }
}

/// The mixer that a device of this host is in: that of the sound server, which every host goes
/// through where there is one, else the card's own.
#[cfg(target_os = "linux")]
fn read_mixer(host: &str, device: Option<&str>) -> Option<Mixer> {
    // A card of its own bypasses the sound server.
    let is_card = host == "alsa" && device.is_some_and(|device| device.contains("CARD="));
    let device = device.map(str::to_owned);
    let work = aside("doctor", &Outstanding::default(), move || {
        let server = if is_card { None } else { pulse_mixer::read() };
        server.or_else(|| alsa_mixer::read(device.as_deref()))
    });
    work.ok()?.wait(MIXER_LIMIT).flatten()
}

/// Other systems have no mixer that we know to ask.
#[cfg(not(target_os = "linux"))]
fn read_mixer(_host: &str, _device: Option<&str>) -> Option<Mixer> {
    None
}

fn on_tokio(work: impl Future<Output = Finding>) -> Finding {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let finding = runtime.block_on(work);
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            finding
        }
        Err(error) => no_thread(&error),
    }
}

fn gave_up(check: Check) -> Finding {
    let message = format!(
        "it did not end within {} s and was given up",
        LIMIT.as_secs()
    );
    if [SERVER, HEALTH, CALL].contains(&check) {
        Finding::fail(
            Fault::CheckTimedOut,
            message,
            Fix::advice("restart the server, or try another with --server"),
        )
    } else if check.required {
        Finding::fail(Fault::CheckTimedOut, message, fixes::restart_audio_server())
    } else {
        Finding::warn(Fault::CheckTimedOut, message, fixes::restart_audio_server())
    }
}

fn no_thread(error: &io::Error) -> Finding {
    Finding::fail(
        Fault::SystemExhausted,
        format!("the system gives no thread: {error}"),
        Fix::advice("close other programs, or raise the limit of processes (ulimit -u)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_fit_their_column_and_identifiers_differ() {
        let checks = [
            HOSTS, DEVICES, MICROPHONE, SPEAKER, ROUND_TRIP, REAL_TIME, SERVER, HEALTH, CALL,
        ];
        for (index, check) in checks.iter().enumerate() {
            assert!(check.title.chars().count() <= Check::WIDEST, "{check:?}");
            assert!(
                checks[..index].iter().all(|other| other.id != check.id),
                "{check:?}"
            );
        }
    }

    #[test]
    fn what_was_given_up_says_so_and_what_to_restart() {
        for (check, word) in [(SPEAKER, "audio"), (CALL, "server")] {
            let finding = gave_up(check);
            assert_eq!(finding.status, Status::Fail);
            assert!(finding.message.contains("10 s"), "{finding:?}");
            assert!(finding.fixes[0].advice.contains(word), "{finding:?}");
        }
        assert_eq!(gave_up(ROUND_TRIP).status, Status::Warn);
    }
}
