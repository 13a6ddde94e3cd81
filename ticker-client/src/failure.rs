//! Why the quotes stopped: words for the person, a code for the shell.

use std::{error::Error, io};

use tonic::{Code, Status};

use proto::{ServerAddress, text::words};

use crate::settings::SettingsError;

/// Everything that ends the program badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong. Nothing was connected to.
    #[error("{0}")]
    Usage(#[from] SettingsError),
    /// There is nobody at that address, or nobody who speaks gRPC.
    #[error(
        "cannot reach a server at {server}: {why}.\n\
         Is it running, and is that its address? Start one with `server`, or name another with \
         --server HOST[:PORT]."
    )]
    NotReached {
        /// Where it should be.
        server: ServerAddress,
        /// What the system said.
        why: String,
    },
    /// The server went away, or the network did. Another attempt may find it again.
    #[error(
        "the connection to {server} is lost: {why}.\n\
         Start ticker-client again when the server is back."
    )]
    Lost {
        /// Where it was.
        server: ServerAddress,
        /// What the server or the system said.
        why: String,
    },
    /// The server does not do what it was asked for. Asking again is no use.
    #[error("the server at {server} refused: {why}")]
    Rejected {
        /// Who refused.
        server: ServerAddress,
        /// The kind of reason.
        code: Code,
        /// The server's words.
        why: String,
    },
    /// The server refused one symbol after the other, and none is left.
    #[error("{server} gives no quotes of any symbol that it was asked for")]
    AllRefused {
        /// Who refused.
        server: ServerAddress,
    },
    /// The server hangs up on a client that pings it; gRPC's own servers do, when there is nothing
    /// to send. Connect again without pings.
    #[error("the server hangs up on clients that check whether it is there")]
    PingsUnwanted,
    /// The quotes cannot be written, for another reason than that nobody reads them.
    #[error("cannot write the quotes: {0}")]
    Output(io::Error),
}

impl Failure {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::NotReached { .. } | Self::Lost { .. } | Self::PingsUnwanted => 3,
            Self::Rejected { .. } | Self::AllRefused { .. } => 4,
        }
    }

    /// No connection.
    pub fn not_reached(server: &ServerAddress, error: &(dyn Error + 'static)) -> Self {
        let why = match io_error(error) {
            Some(error) => words_of(error),
            None => root_cause(error),
        };
        let server = server.clone();
        Self::NotReached { server, why }
    }

    /// There was a connection, and on it nobody answered, or nobody who speaks gRPC.
    pub fn not_answered(server: &ServerAddress) -> Self {
        Self::NotReached {
            server: server.clone(),
            why: "what is there took the connection, but did not answer as a ticker does"
                .to_owned(),
        }
    }

    /// The server, or the transport in its place, ended the stream with an error.
    pub fn from_status(server: &ServerAddress, status: &Status) -> Self {
        if pings_unwanted(status) {
            return Self::PingsUnwanted;
        }
        let server = server.clone();
        let why = match status.source() {
            // The transport says the same of a dead server and of a dead network, in words that are
            // its own.
            Some(_) => WENT_AWAY.to_owned(),
            None if status.message().is_empty() => status.code().to_string(),
            None => words(status.message()),
        };
        match status.code() {
            Code::Unavailable
            | Code::Unknown
            | Code::Internal
            | Code::Cancelled
            | Code::Aborted
            | Code::DeadlineExceeded
            | Code::DataLoss => Self::Lost { server, why },
            code @ Code::Unimplemented => Self::Rejected {
                server,
                code,
                why: format!("it offers no StockTicker ({why})"),
            },
            code => Self::Rejected { server, code, why },
        }
    }
}

/// Whether this is the GOAWAY with ENHANCE_YOUR_CALM and "too_many_pings" of gRPC proposal A8, as
/// the transport or the server reports it.
fn pings_unwanted(status: &Status) -> bool {
    let said = status.message().to_lowercase().replace('_', " ");
    let happened = status.source().map(|source| format!("{source:?}"));
    said.contains("too many pings")
        || happened.is_some_and(|error| error.contains("ENHANCE_YOUR_CALM"))
}

const WENT_AWAY: &str = "the server or the network went away";

/// What the system said of a connection, if it said anything.
fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut found = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        found = error.downcast_ref().or(found);
        cause = error.source();
    }
    found
}

fn words_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "there was no answer in time".to_owned(),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => WENT_AWAY.to_owned(),
        // A name that nobody knows, a network that is not there.
        _ => root_cause(error),
    }
}

/// The innermost error, which is what happened; those around it are our libraries' layers.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    words(&cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: &Status) -> Failure {
        let server = "localhost".parse().expect("an address");
        Failure::from_status(&server, status)
    }

    #[test]
    fn a_status_decides_between_lost_and_rejected() {
        let lost = failure(&Status::unavailable("the server is shutting down"));
        assert_eq!(lost.exit_code(), 3);
        assert!(lost.to_string().contains("shutting down"), "{lost}");
        let rejected = failure(&Status::resource_exhausted("at most 1000 symbols"));
        assert_eq!(rejected.exit_code(), 4);
        assert!(rejected.to_string().contains("at most 1000"), "{rejected}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Transport(#[source] io::Error);

    #[test]
    fn a_connections_end_is_said_in_our_words_and_not_a_librarys() {
        let server = "localhost".parse().expect("an address");
        for (kind, words) in [
            (io::ErrorKind::ConnectionRefused, "connection refused"),
            (io::ErrorKind::BrokenPipe, WENT_AWAY),
            (io::ErrorKind::ConnectionReset, WENT_AWAY),
            (io::ErrorKind::TimedOut, "no answer in time"),
            (io::ErrorKind::HostUnreachable, "a library's words"),
        ] {
            let error = Transport(io::Error::new(kind, "a library's words"));
            let said = Failure::not_reached(&server, &error).to_string();
            assert!(said.contains(words), "{kind}: {said}");
        }
        let broken = Status::from_error(Box::new(io::Error::other("stream closed because")));
        let said = failure(&broken).to_string();
        assert!(said.contains(WENT_AWAY), "{said}");
        assert!(!said.contains("stream closed"), "{said}");
    }

    #[test]
    fn a_server_that_wants_no_pings_is_recognised() {
        for said in ["Too many pings", "too_many_pings"] {
            let failure = failure(&Status::unavailable(said));
            assert!(matches!(failure, Failure::PingsUnwanted), "{failure}");
        }
    }

    #[test]
    fn a_servers_words_cannot_play_with_the_terminal() {
        let rejected = failure(&Status::invalid_argument("\u{1b}[2Jgone")).to_string();
        assert!(!rejected.contains('\u{1b}'), "{rejected:?}");
        assert!(rejected.contains("gone"), "{rejected:?}");
    }
}
