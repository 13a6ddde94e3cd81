//! How one stream of a call ended, and what that means for the call.

use std::{error::Error, time::Duration};

use proto::text::words;
use tonic::{Code, Status};

use super::{
    connection::KEEPALIVE_TIMEOUT,
    context::Context,
    state::{Line, SessionEnd},
};

/// Why one stream ended.
pub(super) enum StreamEnd {
    Completed,
    Rejected(String),
    Broken(String),
    WrongFormat(String),
}

impl StreamEnd {
    /// What it is for the call, if no other stream follows.
    pub(super) fn of_call(self) -> SessionEnd {
        match self {
            Self::Completed => SessionEnd::Completed,
            Self::Rejected(why) => SessionEnd::Rejected(why),
            Self::Broken(why) => SessionEnd::Lost(why),
            Self::WrongFormat(why) => SessionEnd::WrongFormat(why),
        }
    }
}

/// What came from the far end on one stream, and when.
#[derive(Clone)]
pub(super) struct Heard {
    pub(super) anything: bool,
    /// The newest chunk; before there is one, the beginning of the stream.
    pub(super) last: Duration,
    /// What lets another stream take its place, once it has one.
    pub(super) resume_token: String,
}

impl Heard {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            anything: false,
            last: now,
            resume_token: String::new(),
        }
    }
}

impl Context {
    /// What a status means for the call: some say that we are not wanted, the rest that the line
    /// broke.
    pub(super) fn ended_by(&self, status: &Status, heard: Heard) -> StreamEnd {
        let said = format!("{:?}: {}", status.code(), words(status.message()));
        match status.code() {
            Code::Unimplemented => StreamEnd::Rejected(format!(
                "it does not offer calls (no callcenter.CallCenter/LiveCall): {}",
                if status.message().is_empty() {
                    "Unimplemented"
                } else {
                    &said
                },
            )),
            // In the middle of a call we wait for our place again; nobody else hangs up for us.
            Code::ResourceExhausted if matches!(self.status.borrow().line, Line::Lost { .. }) => {
                StreamEnd::Broken(said)
            }
            Code::InvalidArgument
            | Code::Unauthenticated
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::OutOfRange
            | Code::NotFound => StreamEnd::Rejected(said),
            // With a source it was made here, out of what happened to the connection.
            _ => StreamEnd::Broken(match status.source() {
                Some(source) => self.connection_lost(&root_cause(source), heard),
                None => said,
            }),
        }
    }

    fn connection_lost(&self, cause: &str, heard: Heard) -> String {
        let server = &self.options.server;
        let silent = self.clock.now().saturating_sub(heard.last);
        if silent >= KEEPALIVE_TIMEOUT {
            format!(
                "{server} has not answered for {:.0} s",
                silent.as_secs_f32()
            )
        } else if heard.anything {
            format!("the connection to {server} broke")
        } else {
            format!("what answers at {server} is no gRPC server ({cause})")
        }
    }
}

/// The innermost reason, which is the one that a person can do something about.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    words(&cause.to_string())
}
