//! Checks the server from the outside in: does anything listen, does it speak gRPC and feel well,
//! and does a short call come back as it was sent.

use std::{error::Error as _, io, time::Duration};

use clap::Parser;
use proto::{
    ServerAddress,
    text::{excerpt, words},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Status as RpcStatus, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    fault::Fault,
    finding::{Finding, Fix},
};
use crate::{
    args::Args,
    call,
    report::verdict::{ExitCode, Verdict},
    session::reachability::{Unreachable, start},
};

/// What does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_secs(4);

/// Who has accepted a greeting answers it in this time, or has nothing to say.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// The tone of the synthetic call may come back so far off, and still be ours.
const FREQUENCY_TOLERANCE: f64 = 0.01;

/// Whether anything listens there.
pub(super) async fn check_connection(server: &ServerAddress) -> Finding {
    let began = Instant::now();
    match timeout(PATIENCE, reach(server)).await {
        Ok(Ok(())) => {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            Finding::ok(format!("{server} accepts connections ({ms:.1} ms)"))
                .with_figures(json!({ "server": server.to_string(), "connect_ms": ms }))
        }
        Ok(Err(cause)) => explain(server, &cause),
        Err(_) => explain(server, &Unreachable::NoAnswer(PATIENCE)),
    }
}

async fn reach(server: &ServerAddress) -> Result<(), Unreachable> {
    let unreachable = |error: io::Error| Unreachable::of(&error, PATIENCE);
    let addresses: Vec<_> = tokio::net::lookup_host(server.to_string())
        .await
        .map_err(unreachable)?
        .collect();
    TcpStream::connect(addresses.as_slice())
        .await
        .map(drop)
        .map_err(unreachable)
}

fn explain(server: &ServerAddress, cause: &Unreachable) -> Finding {
    let fault = match cause {
        Unreachable::UnknownName(_) => Fault::UnknownServerName,
        Unreachable::Refused if server.is_this_machine() => Fault::ServerNotRunning,
        Unreachable::Refused => Fault::ServerRefusesConnection,
        Unreachable::NoAnswer(_) => Fault::ServerDoesNotAnswer,
        Unreachable::Other(_) => Fault::ServerUnreachable,
    };
    let remedies: Vec<Fix> = cause.remedies(server).into_iter().map(Fix::from).collect();
    Finding::fail(fault, cause.message(server), remedies)
        .or(Fix::command(
            "name another, if it is elsewhere",
            "softphone doctor --server HOST[:PORT]",
        ))
        .with_figures(json!({ "server": server.to_string() }))
}

/// Whether it speaks gRPC, and what it says of itself.
pub(super) async fn check_health(server: &ServerAddress) -> Finding {
    let asked = async {
        let channel = Endpoint::from_shared(server.uri())?.connect().await?;
        let request = HealthCheckRequest::default();
        Ok(HealthClient::new(channel).check(request).await)
    };
    let answer: Result<_, tonic::transport::Error> = match timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => return no_grpc(server, &Speaks::Nothing),
    };
    match answer {
        Ok(Ok(response)) => judge_health(server, response.into_inner().status()),
        // With a source it was made here, out of what happened to the connection.
        Ok(Err(status)) if status.source().is_some() => no_grpc(server, &listen_to(server).await),
        Ok(Err(status)) => judge_health_error(&status),
        Err(_) => no_grpc(server, &listen_to(server).await),
    }
}

/// What somebody says who is no gRPC server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Speaks {
    /// It refuses what is not encrypted.
    Tls,
    /// It is a web server, or a proxy.
    Http1,
    /// It says something else; these are its first words.
    Other(String),
    /// It says nothing.
    Nothing,
}

impl Speaks {
    /// From the first bytes of an answer to the greeting of HTTP/2.
    fn of(answer: &[u8]) -> Self {
        match answer {
            [] => Self::Nothing,
            // An alert or a handshake record of TLS or SSL 3.
            [0x15 | 0x16, 3, ..] => Self::Tls,
            _ if answer.starts_with(b"HTTP/1") => Self::Http1,
            _ => {
                let text = String::from_utf8_lossy(answer);
                Self::Other(excerpt(text.lines().next().unwrap_or_default(), 60))
            }
        }
    }
}

/// Greets as a gRPC client does, and takes what comes back.
async fn listen_to(server: &ServerAddress) -> Speaks {
    let mut answer = [0; 256];
    let heard = async {
        let mut stream = TcpStream::connect(server.to_string()).await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .await?;
        // An empty SETTINGS frame.
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
        stream.read(&mut answer).await
    };
    let count = match timeout(ANSWER_PATIENCE, heard).await {
        Ok(Ok(count)) => count,
        Ok(Err::<_, io::Error>(_)) | Err(_) => 0,
    };
    Speaks::of(&answer[..count])
}

fn judge_health(server: &ServerAddress, status: ServingStatus) -> Finding {
    let figures = json!({ "health": status.as_str_name() });
    let finding = match status {
        ServingStatus::Serving => Finding::ok("it speaks gRPC and says that it serves"),
        _ => Finding::fail(
            Fault::ServerNotServing,
            "it says that it does not serve: it is about to stop, or not ready yet",
            Fix::advice("wait a few seconds and ask again"),
        )
        .or(start(server).into()),
    };
    finding.with_figures(figures)
}

fn judge_health_error(status: &RpcStatus) -> Finding {
    let said = words(status.message());
    match status.code() {
        // Any program that offers LiveCall is a server; not all of them have a health service.
        Code::Unimplemented => Finding::warn(
            Fault::ServerHealthUnknown,
            "it speaks gRPC, but tells nothing of its health (no grpc.health.v1)",
            Fix::advice("none needed when the call below succeeds; our own server offers it"),
        ),
        code => Finding::fail(
            Fault::ServerNotServing,
            format!("it refused to tell its health ({code:?}: {said})"),
            Fix::advice("ask whoever runs it"),
        ),
    }
}

fn no_grpc(server: &ServerAddress, speaks: &Speaks) -> Finding {
    let (fault, what, advice) = match speaks {
        Speaks::Tls => (
            Fault::ServerWantsTls,
            "wants TLS, and calls are not encrypted yet".to_owned(),
            "connect to the call centre itself, not to the proxy that encrypts before it",
        ),
        Speaks::Http1 => (
            Fault::ServerSpeaksHttp1,
            "is a web server (HTTP/1), which does not speak gRPC".to_owned(),
            "is it a proxy? Let it pass HTTP/2 on, or connect to the call centre itself",
        ),
        Speaks::Other(words) => (
            Fault::ServerIsNotGrpc,
            format!("does not speak gRPC; it says \"{words}\""),
            "another program has this port: name the call centre's",
        ),
        Speaks::Nothing => (
            Fault::ServerSilent,
            format!("says nothing for {} s", PATIENCE.as_secs()),
            "if it is the call centre, it hangs: restart it; else name the call centre's port",
        ),
    };
    Finding::fail(
        fault,
        format!("what listens at {server} {what}"),
        Fix::command(advice, "softphone doctor --server HOST[:PORT]"),
    )
    .with_figures(json!({ "server": server.to_string() }))
}

/// A second of a tone through the whole path of a call, devices aside.
pub(super) async fn check_call(server: &ServerAddress) -> Finding {
    let address = server.to_string();
    let args = [
        "softphone",
        "--synthetic",
        "--duration",
        "1s",
        "--server",
        &address,
    ];
    let args = match Args::try_parse_from(args) {
        Ok(args) => args.call,
        Err(error) => {
            let why = words(&error.to_string());
            return Finding::fail(Fault::Internal, why, nothing_but_report());
        }
    };
    match call::call_unseen(&args).await {
        Ok(report) => judge_call(&report.verdict, &report.json()),
        Err(verdict) => judge_call(&verdict, &Value::Null),
    }
}

/// `figures`: those of the call.
fn judge_call(verdict: &Verdict, figures: &Value) -> Finding {
    let ms = |key: &str| figures[key].as_f64();
    let words =
        |key: &str| ms(key).map_or_else(|| "unknown".to_owned(), |ms| format!("{ms:.1} ms"));
    let delays = format!(
        "round trip {}, mouth to ear {} without devices",
        words("round_trip_ms"),
        words("mouth_to_ear_ms")
    );
    let finding = match verdict.exit {
        ExitCode::Good => Finding::ok(format!("a tone came back as it was sent: {delays}")),
        ExitCode::WrongAudio if is_our_tone(figures) => Finding::warn(
            Fault::SoundGaps,
            format!(
                "the tone came back, but not well: {} ({delays})",
                verdict.why
            ),
            Fix::command(
                "see whether it stays so over half a minute",
                "softphone --synthetic --duration 30s --server HOST[:PORT]",
            ),
        )
        .or(Fix::advice(
            "use a cable instead of Wi-Fi, and close programs that keep this machine busy",
        )),
        ExitCode::WrongAudio => Finding::fail(
            Fault::CallSoundsWrong,
            verdict.why.clone(),
            Fix::advice(
                "the server changes the sound, or mixes in that of others: ask whoever runs it",
            ),
        ),
        ExitCode::NoAudio => Finding::fail(
            Fault::CallSilent,
            verdict.why.clone(),
            Fix::command("look at what the server says", "server --log debug"),
        ),
        ExitCode::Rejected => Finding::fail(
            if verdict.why.contains("does not offer calls") {
                Fault::ServerWithoutCalls
            } else {
                Fault::CallRejected
            },
            verdict.why.clone(),
            Fix::command(
                "name a server that takes calls",
                "softphone doctor --server HOST[:PORT]",
            ),
        )
        .or(Fix::advice(
            "or wait until it has room, if it says that it is full",
        )),
        ExitCode::NoConnection | ExitCode::Usage | ExitCode::NotWritten => Finding::fail(
            Fault::CallLost,
            verdict.why.clone(),
            Fix::command("look at what the server says", "server --log debug"),
        ),
    };
    finding.with_figures(json!({
        "outcome": verdict.exit,
        "round_trip_ms": figures["round_trip_ms"],
        "mouth_to_ear_ms": figures["mouth_to_ear_ms"],
        "concealed_ratio": figures["concealed_ratio"],
    }))
}

fn is_our_tone(figures: &Value) -> bool {
    let tone = &figures["tone"];
    let frequency = tone["frequency_hz"].as_f64().unwrap_or(0.0);
    tone["heard"] == true && (frequency / SENT_HZ - 1.0).abs() < FREQUENCY_TOLERANCE
}

/// The tone of a synthetic call, unless told otherwise.
const SENT_HZ: f64 = 440.0;

fn nothing_but_report() -> Fix {
    Fix::advice("this is a fault of the softphone itself: please report it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Status;

    fn address(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    #[test]
    fn each_way_not_to_be_reached_has_its_name_and_its_fix() {
        for (at, cause, fault, command) in [
            (
                "127.0.0.1",
                Unreachable::Refused,
                Fault::ServerNotRunning,
                "server",
            ),
            (
                "10.0.0.7:7000",
                Unreachable::Refused,
                Fault::ServerRefusesConnection,
                "server --listen 0.0.0.0:7000 --insecure",
            ),
            (
                "desk.lan",
                Unreachable::UnknownName("as the system says".to_owned()),
                Fault::UnknownServerName,
                "softphone doctor --server HOST[:PORT]",
            ),
            (
                "desk.lan",
                Unreachable::NoAnswer(PATIENCE),
                Fault::ServerDoesNotAnswer,
                "sudo ufw allow 50051/tcp",
            ),
            (
                "desk.lan",
                Unreachable::Other("no route".to_owned()),
                Fault::ServerUnreachable,
                "softphone doctor --server HOST[:PORT]",
            ),
        ] {
            let finding = explain(&address(at), &cause);
            assert_eq!(finding.status, Status::Fail);
            assert_eq!(finding.fault, Some(fault));
            let first = finding.fixes.iter().find_map(|fix| fix.command.as_deref());
            assert_eq!(first, Some(command), "{finding:?}");
        }
    }

    #[test]
    fn who_is_no_grpc_server_is_known_by_its_first_bytes() {
        for (answer, speaks) in [
            (&b""[..], Speaks::Nothing),
            (&[0x15, 3, 3, 0, 2, 2, 10], Speaks::Tls),
            (b"HTTP/1.1 400 Bad Request\r\n", Speaks::Http1),
            (
                b"SSH-2.0-OpenSSH_9.2\r\n",
                Speaks::Other("SSH-2.0-OpenSSH_9.2".to_owned()),
            ),
        ] {
            assert_eq!(Speaks::of(answer), speaks);
            let finding = no_grpc(&address("127.0.0.1"), &speaks);
            assert_eq!(finding.status, Status::Fail);
        }
    }

    #[test]
    fn health_is_read_for_what_it_is() {
        let server = address("127.0.0.1");
        let status = |serving| judge_health(&server, serving).status;
        assert_eq!(status(ServingStatus::Serving), Status::Ok);
        assert_eq!(status(ServingStatus::NotServing), Status::Fail);
        let error = |status| judge_health_error(&status).status;
        assert_eq!(error(RpcStatus::unimplemented("")), Status::Warn);
        assert_eq!(error(RpcStatus::permission_denied("no")), Status::Fail);
    }

    #[test]
    fn a_call_that_came_back_imperfectly_is_a_warning_and_a_wrong_one_a_failure() {
        let figures = |hz: f64| {
            json!({
                "round_trip_ms": 0.42, "mouth_to_ear_ms": 31.5, "concealed_ratio": 0.02,
                "tone": { "heard": true, "frequency_hz": hz },
            })
        };
        let judge = |exit, hz| judge_call(&Verdict::new(exit, "so it was"), &figures(hz));
        let good = judge(ExitCode::Good, 440.0);
        assert_eq!(good.status, Status::Ok);
        assert!(
            good.message
                .contains("round trip 0.4 ms, mouth to ear 31.5 ms"),
            "{good:?}"
        );
        let gaps = judge(ExitCode::WrongAudio, 440.1);
        assert_eq!(gaps.status, Status::Warn);
        assert!(gaps.message.contains("so it was"), "{gaps:?}");
        for finding in [
            judge(ExitCode::WrongAudio, 880.0),
            judge(ExitCode::NoAudio, 0.0),
            judge(ExitCode::Rejected, 0.0),
            judge_call(
                &Verdict::new(ExitCode::NoConnection, "so it was"),
                &Value::Null,
            ),
        ] {
            assert_eq!(finding.status, Status::Fail, "{finding:?}");
            assert_eq!(finding.message, "so it was");
        }
        let why = "the server rejected the call: it does not offer calls";
        let without = judge_call(&Verdict::new(ExitCode::Rejected, why), &Value::Null);
        assert_eq!(without.fault, Some(Fault::ServerWithoutCalls));
    }
}
