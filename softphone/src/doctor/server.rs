//! Checks the server from the outside in: does anything listen, does it speak gRPC and feel well,
//! and does a short call come back as it was sent.

use std::{error::Error as _, io, time::Duration};

use clap::Parser;
use proto::{ServerAddress, text::one_line};
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::{Code, Status as RpcStatus, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::finding::{Finding, Fix};
use crate::{
    args::Args,
    call,
    verdict::{ExitCode, Verdict},
};

/// What does not answer in this time is not there.
const PATIENCE: Duration = Duration::from_secs(4);

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
        Ok(Err(trouble)) => explain(server, &trouble),
        Err(_) => explain(server, &Trouble::NoAnswer),
    }
}

/// Why a server cannot be reached.
#[derive(Debug)]
enum Trouble {
    UnknownName(io::Error),
    Refused(io::Error),
    NoAnswer,
}

async fn reach(server: &ServerAddress) -> Result<(), Trouble> {
    let addresses: Vec<_> = tokio::net::lookup_host(server.to_string())
        .await
        .map_err(Trouble::UnknownName)?
        .collect();
    match TcpStream::connect(addresses.as_slice()).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Trouble::NoAnswer),
        Err(error) => Err(Trouble::Refused(error)),
    }
}

fn explain(server: &ServerAddress, trouble: &Trouble) -> Finding {
    let (host, port) = parts(server);
    let other_address = Fix::command(
        "name another, if it is elsewhere",
        "softphone doctor --server HOST[:PORT]",
    );
    let finding = match trouble {
        Trouble::UnknownName(error) => Finding::fail(
            format!("the name {host} is not known: {error}"),
            Fix::advice("check its spelling, or use the server's IP address"),
        ),
        Trouble::Refused(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Finding::fail(format!("nobody listens at {server}"), start(server)).or(other_address)
        }
        Trouble::Refused(error) => Finding::fail(
            format!("{server} cannot be reached: {error}"),
            Fix::advice("check the network of this machine, and the address"),
        )
        .or(other_address),
        Trouble::NoAnswer => Finding::fail(
            format!("{server} did not answer within {} s", PATIENCE.as_secs()),
            Fix::command(
                "let the port through the firewall of that machine",
                format!("sudo ufw allow {port}/tcp"),
            ),
        )
        .or(start(server))
        .or(other_address),
    };
    finding.with_figures(json!({ "server": server.to_string() }))
}

/// The command that starts a server there.
fn start(server: &ServerAddress) -> Fix {
    let (host, port) = parts(server);
    let here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    if here && port == "50051" {
        Fix::command("start a server on this machine", "server")
    } else if here {
        Fix::command(
            "start a server on this machine",
            format!("server --listen {host}:{port}"),
        )
    } else {
        Fix::command(
            format!("start one on {host} that other machines reach"),
            format!("server --listen 0.0.0.0:{port} --insecure"),
        )
    }
}

fn parts(server: &ServerAddress) -> (String, String) {
    let text = server.to_string();
    match text.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.to_owned()),
        None => (text, String::new()),
    }
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
        Err(_) => {
            return no_grpc(
                server,
                &format!("it said nothing for {} s", PATIENCE.as_secs()),
            );
        }
    };
    match answer {
        Ok(Ok(response)) => judge_health(server, response.into_inner().status()),
        Ok(Err(status)) => judge_health_error(server, &status),
        Err(error) => no_grpc(server, &error.to_string()),
    }
}

fn judge_health(server: &ServerAddress, status: ServingStatus) -> Finding {
    let figures = json!({ "health": status.as_str_name() });
    let finding = match status {
        ServingStatus::Serving => Finding::ok("it speaks gRPC and says that it serves"),
        _ => Finding::fail(
            "it says that it does not serve: it is about to stop, or not ready yet",
            Fix::advice("wait a few seconds and ask again"),
        )
        .or(start(server)),
    };
    finding.with_figures(figures)
}

fn judge_health_error(server: &ServerAddress, status: &RpcStatus) -> Finding {
    let said = one_line(status.message());
    match status.code() {
        // Any program that offers LiveCall is a server; not all of them have a health service.
        Code::Unimplemented => Finding::warn(
            "it speaks gRPC, but tells nothing of its health (no grpc.health.v1)",
            Fix::advice("none needed when the call below succeeds; our own server offers it"),
        ),
        // With a source it was made here, out of what happened to the connection.
        _ if status.source().is_some() => no_grpc(server, &said),
        code => Finding::fail(
            format!("it refused to tell its health ({code:?}: {said})"),
            Fix::advice("ask whoever runs it"),
        ),
    }
}

fn no_grpc(server: &ServerAddress, why: &str) -> Finding {
    Finding::fail(
        format!(
            "something listens at {server}, but it does not speak gRPC as we do, unencrypted: {why}"
        ),
        Fix::command(
            "name the call centre's own port",
            "softphone doctor --server HOST[:PORT]",
        ),
    )
    .or(Fix::advice(
        "is it an HTTPS address or a proxy? Connect to the server itself, without TLS",
    ))
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
        Err(error) => return Finding::fail(one_line(&error.to_string()), nothing_but_report()),
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
            verdict.why.clone(),
            Fix::advice(
                "the server changes the sound, or mixes in that of others: ask whoever runs it",
            ),
        ),
        ExitCode::NoAudio => Finding::fail(
            verdict.why.clone(),
            Fix::command("look at what the server says", "server --log debug"),
        ),
        ExitCode::Rejected => Finding::fail(
            verdict.why.clone(),
            Fix::command(
                "name a server that takes calls",
                "softphone doctor --server HOST[:PORT]",
            ),
        )
        .or(Fix::advice(
            "or wait until it has room, if it says that it is full",
        )),
        ExitCode::NoConnection | ExitCode::Usage => Finding::fail(
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

    fn command(fix: &Fix) -> &str {
        fix.command.as_deref().unwrap_or_default()
    }

    #[test]
    fn a_server_is_started_where_it_is_wanted() {
        for (at, wanted) in [
            ("127.0.0.1", "server"),
            ("[::1]:50051", "server"),
            ("localhost:7000", "server --listen localhost:7000"),
            ("10.0.0.7:7000", "server --listen 0.0.0.0:7000 --insecure"),
        ] {
            assert_eq!(command(&start(&address(at))), wanted, "{at}");
        }
    }

    #[test]
    fn each_way_not_to_be_reached_has_its_own_words() {
        let server = address("desk.lan:7000");
        let error = || io::Error::other("as the system says");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        for (trouble, message, fix) in [
            (
                Trouble::UnknownName(error()),
                "desk.lan is not known",
                "spelling",
            ),
            (
                Trouble::Refused(refused),
                "nobody listens at desk.lan:7000",
                "start one on desk.lan",
            ),
            (Trouble::Refused(error()), "as the system says", "network"),
            (Trouble::NoAnswer, "did not answer within 4 s", "firewall"),
        ] {
            let finding = explain(&server, &trouble);
            assert_eq!(finding.status, Status::Fail);
            assert!(finding.message.contains(message), "{finding:?}");
            assert!(finding.fixes[0].advice.contains(fix), "{finding:?}");
        }
    }

    #[test]
    fn health_is_read_for_what_it_is() {
        let server = address("127.0.0.1");
        let status = |serving| judge_health(&server, serving).status;
        assert_eq!(status(ServingStatus::Serving), Status::Ok);
        assert_eq!(status(ServingStatus::NotServing), Status::Fail);
        let error = |status| judge_health_error(&server, &status).status;
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
    }
}
