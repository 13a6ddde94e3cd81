//! Why a server cannot be reached, in words that say what is likely and what to do. Pure: the error
//! is passed in. A call and the doctor say the same.

use std::{error::Error, io, time::Duration};

use proto::{ServerAddress, text::words};

/// The server that is called when none is named.
const DEFAULT_SERVER: &str = "127.0.0.1:50051";

/// Why a connection was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreachable {
    /// No name server knows the host.
    UnknownName(String),
    /// The machine answers that nobody listens at the port.
    Refused,
    /// Nothing answers at all.
    NoAnswer(Duration),
    /// Something else, in the system's words.
    Other(String),
}

/// Something to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// In words.
    pub advice: String,
    /// As a command, where there is one.
    pub command: Option<String>,
}

impl Unreachable {
    /// What kept a connection from being made, when at most `patience` was spent on it.
    pub fn of(error: &(dyn Error + 'static), patience: Duration) -> Self {
        let chain = || std::iter::successors(Some(error), source);
        let kinds = || {
            chain()
                .filter_map(|error| error.downcast_ref::<io::Error>())
                .map(io::Error::kind)
        };
        let innermost = chain()
            .last()
            .map_or_else(String::new, |error| words(&error.to_string()));
        if kinds().any(|kind| kind == io::ErrorKind::ConnectionRefused) {
            Self::Refused
        } else if kinds().any(|kind| kind == io::ErrorKind::TimedOut) {
            Self::NoAnswer(patience)
        } else if innermost.contains("failed to lookup address") {
            Self::UnknownName(innermost)
        } else {
            Self::Other(innermost)
        }
    }

    /// What happened.
    pub fn message(&self, server: &ServerAddress) -> String {
        let host = server.host();
        match self {
            Self::UnknownName(why) => format!("the name {host} is not known ({why})"),
            Self::Refused if server.is_this_machine() => {
                format!("no server runs on this machine: nobody listens at {server}")
            }
            Self::Refused => {
                format!(
                    "{host} refuses the connection: nobody listens at {server} for other machines"
                )
            }
            Self::NoAnswer(patience) => format!(
                "{server} did not answer within {} s: {host} is switched off or not on this network, \
                 or a firewall drops what comes for the port",
                patience.as_secs()
            ),
            Self::Other(why) => format!("{server} cannot be reached: {why}"),
        }
    }

    /// What to do, the likeliest first; never empty.
    pub fn remedies(&self, server: &ServerAddress) -> Vec<Remedy> {
        let (host, port) = (server.host(), server.port());
        let advice = |advice: String| Remedy {
            advice,
            command: None,
        };
        let command = |advice: String, command: String| Remedy {
            advice,
            command: Some(command),
        };
        let firewall = || {
            command(
                format!("let the port through the firewall of {host}"),
                format!("sudo ufw allow {port}/tcp"),
            )
        };
        match self {
            Self::UnknownName(_) => vec![advice(
                "check its spelling, or use the server's IP address".to_owned(),
            )],
            Self::Refused if server.is_this_machine() => vec![
                start(server),
                advice("name one on another machine with --server HOST[:PORT]".to_owned()),
            ],
            Self::Refused => vec![
                command(
                    format!(
                        "a server on {host} listens on its own machine alone unless told otherwise: \
                         start it there with"
                    ),
                    format!("server --listen 0.0.0.0:{port} --insecure"),
                ),
                firewall(),
            ],
            Self::NoAnswer(_) => vec![
                advice(format!("see whether {host} is on and on this network")),
                firewall(),
            ],
            Self::Other(_) => vec![advice(
                "check the network of this machine, and the address".to_owned(),
            )],
        }
    }

    /// Both in one sentence, for a call.
    pub fn sentence(&self, server: &ServerAddress) -> String {
        let remedies: Vec<_> = self
            .remedies(server)
            .into_iter()
            .map(|Remedy { advice, command }| match command {
                Some(command) => format!("{advice}: {command}"),
                None => advice,
            })
            .collect();
        format!("{}; {}", self.message(server), remedies.join("; or "))
    }
}

fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    (**error).source()
}

/// The command that looks into what is wrong with a server.
pub fn doctor(server: &ServerAddress) -> String {
    match server.to_string().as_str() {
        DEFAULT_SERVER => "softphone doctor".to_owned(),
        other => format!("softphone doctor --server {other}"),
    }
}

/// The command that starts a server at an address of this machine.
pub fn start(server: &ServerAddress) -> Remedy {
    let command = match (server.host(), server.port()) {
        ("127.0.0.1" | "localhost" | "[::1]", 50_051) => "server".to_owned(),
        _ => format!("server --listen {server}"),
    };
    Remedy {
        advice: "start a server on this machine".to_owned(),
        command: Some(command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(4);

    fn address(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Wrapped(#[source] io::Error);

    fn of(error: io::Error) -> Unreachable {
        Unreachable::of(&error, PATIENCE)
    }

    #[test]
    fn the_cause_is_found_however_deep_it_stands() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let wrapped = Wrapped(refused);
        assert_eq!(Unreachable::of(&wrapped, PATIENCE), Unreachable::Refused);
        let late = io::Error::from(io::ErrorKind::TimedOut);
        assert_eq!(of(late), Unreachable::NoAnswer(PATIENCE));
        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(
            of(io::Error::other(unknown)),
            Unreachable::UnknownName(unknown.to_owned())
        );
    }

    #[test]
    fn refused_means_another_thing_here_than_elsewhere() {
        let here = Unreachable::Refused.sentence(&address("localhost"));
        assert!(here.contains("no server runs on this machine"), "{here}");
        assert!(
            here.contains("on this machine: server; or name one"),
            "{here}"
        );
        let elsewhere = Unreachable::Refused.sentence(&address("10.0.0.7:7000"));
        for words in [
            "10.0.0.7 refuses the connection",
            "listens on its own machine alone",
            "server --listen 0.0.0.0:7000 --insecure",
            "firewall",
        ] {
            assert!(elsewhere.contains(words), "{elsewhere}");
        }
    }

    #[test]
    fn the_doctor_is_sent_to_the_server_that_was_called() {
        assert_eq!(doctor(&address("127.0.0.1")), "softphone doctor");
        assert_eq!(
            doctor(&address("desk.lan")),
            "softphone doctor --server desk.lan:50051"
        );
    }

    #[test]
    fn a_server_is_started_at_the_address_that_was_asked_for() {
        for (at, command) in [
            ("127.0.0.1", "server"),
            ("[::1]:50051", "server"),
            ("localhost:7000", "server --listen localhost:7000"),
            ("127.0.0.2", "server --listen 127.0.0.2:50051"),
        ] {
            assert_eq!(
                start(&address(at)).command.as_deref(),
                Some(command),
                "{at}"
            );
        }
    }

    #[test]
    fn each_cause_says_what_happened_and_what_to_do() {
        let server = address("desk.lan:7000");
        for (cause, words, advice) in [
            (
                Unreachable::UnknownName("no such name".to_owned()),
                "the name desk.lan is not known (no such name)",
                "spelling",
            ),
            (
                Unreachable::NoAnswer(PATIENCE),
                "did not answer within 4 s",
                "firewall",
            ),
            (
                Unreachable::Other("Network is unreachable".to_owned()),
                "Network is unreachable",
                "network of this machine",
            ),
        ] {
            let sentence = cause.sentence(&server);
            assert!(sentence.contains(words), "{sentence}");
            assert!(sentence.contains(advice), "{sentence}");
        }
    }
}
