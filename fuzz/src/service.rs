//! The server's services without a network: messages as bytes in, messages as bytes out.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use tests::raw_codec::Raw;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Status,
    body::Body,
    client::{Grpc, GrpcService},
    codegen::{Body as HttpBody, StdError, http::uri::PathAndQuery},
};

/// Far more than anything takes that does not hang.
const LIMIT: Duration = Duration::from_secs(30);

/// After so many turns without an answer nothing more comes by itself.
const IDLE_TURNS: usize = 64;

/// How a stream went.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The messages that came back.
    pub(crate) messages: Vec<Bytes>,
    /// How it ended; `None`: the reader had enough.
    pub(crate) end: Option<Result<(), Status>>,
}

/// One thread runs both ends, so that the same input does the same.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without I/O can be built")
});

/// Sends the messages to a method that streams both ways, half-closes, and reads up to `most` messages,
/// or until nothing comes any more.
pub(crate) fn call<S>(
    service: S,
    method: &'static str,
    requests: Vec<Bytes>,
    most: usize,
) -> Answered
where
    S: GrpcService<Body>,
    S::ResponseBody: HttpBody + Send + 'static,
    <S::ResponseBody as HttpBody>::Error: Into<StdError>,
    S::Error: std::fmt::Debug,
{
    RUNTIME.block_on(async {
        let mut answered = Answered {
            messages: Vec::new(),
            end: None,
        };
        let mut client = Grpc::new(service);
        client.ready().await.expect("a service is always ready");
        let requests = Request::new(tokio_stream::iter(requests));
        let path = PathAndQuery::from_static(method);
        let mut stream = match client.streaming(requests, path, Raw).await {
            Ok(response) => response.into_inner(),
            Err(status) => {
                answered.end = Some(Err(status));
                return answered;
            }
        };
        while answered.messages.len() < most {
            let Some(next) = soon(stream.next()).await else {
                break;
            };
            match next {
                Some(Ok(message)) => answered.messages.push(message),
                Some(Err(status)) => answered.end = Some(Err(status)),
                None => answered.end = Some(Ok(())),
            }
            if answered.end.is_some() {
                break;
            }
        }
        drop(stream);
        // What the stream leaves behind ends before the next one begins.
        for _ in 0..IDLE_TURNS {
            tokio::task::yield_now().await;
        }
        answered
    })
}

/// What comes without waiting for the time.
async fn soon<F: Future>(future: F) -> Option<F::Output> {
    let turns = async {
        for _ in 0..IDLE_TURNS {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        output = timeout(LIMIT, future) => Some(output.expect("the stream hangs")),
        () = turns => None,
    }
}

/// The code of a status that the contract knows, by its name.
///
/// # Panics
/// It is one that says that something is wrong with the server, or its words are not for people.
pub(crate) fn checked_end(end: &Option<Result<(), Status>>) -> String {
    let status = match end {
        None => return "more".to_owned(),
        Some(Ok(())) => return "OK".to_owned(),
        Some(Err(status)) => status,
    };
    let (code, words) = (status.code(), status.message());
    assert!(
        matches!(
            code,
            Code::InvalidArgument | Code::ResourceExhausted | Code::DeadlineExceeded
        ),
        "{status:?}"
    );
    assert!(
        words.chars().count() < 1_000,
        "{} bytes: {words:?}",
        words.len()
    );
    assert!(proto::text::is_printable(words), "{words:?}");
    // Without what differs from one input to the next.
    let kind: String = words
        .chars()
        .filter(char::is_ascii_lowercase)
        .take(24)
        .collect();
    format!("{code:?} {kind}")
}
