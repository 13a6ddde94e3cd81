//! What the gRPC library says of a request that it could not read, as the status and the words of the
//! contract. Pure.
//!
//! Such a request is the peer's doing: `INVALID_ARGUMENT`. Two of the library's own answers stay as the
//! gRPC specification (doc/compression.md) wants them: a message marked as compressed on a stream that
//! names no compression is `INTERNAL`, and a compression that we do not have is `UNIMPLEMENTED`.

use proto::text::quoted;
use tonic::{
    Code, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::MAX_MESSAGE_BYTES;

/// What a stream's requests are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    message: &'static str,
    file: &'static str,
    if_too_large: &'static str,
}

/// Those of a leg.
pub(crate) const AUDIO_CHUNK: Request = Request {
    message: "AudioChunk",
    file: "callcenter.proto",
    if_too_large: "send shorter chunks (20 ms are usual)",
};

/// Those of a ticker stream.
pub(crate) const TICKER_REQUEST: Request = Request {
    message: "TickerRequest",
    file: "fin.proto",
    if_too_large: "it holds one ticker symbol",
};

impl Request {
    /// The library's status in our words; one that is not about reading a message stays.
    pub(crate) fn readable(self, status: Status) -> Status {
        let Self {
            message,
            file,
            if_too_large,
        } = self;
        let said = |words: &str| status.message().contains(words);
        match status.code() {
            Code::OutOfRange => Status::invalid_argument(format!(
                "a message is larger than the {MAX_MESSAGE_BYTES} bytes that are accepted; {if_too_large}"
            )),
            Code::Internal if said("no grpc-encoding") => Status::internal(
                "a message is marked as compressed, and the stream names no grpc-encoding; send it \
                 uncompressed",
            ),
            Code::Internal if said("invalid compression flag") => Status::invalid_argument(
                "what was sent does not begin as a gRPC message does, with a byte that is 0 or 1 and \
                 four of its length",
            ),
            Code::Internal if said("Unexpected EOF") => {
                Status::invalid_argument("the request stream ended within a message")
            }
            Code::Internal if said("decode") => Status::invalid_argument(format!(
                "a message could not be read as {article} {message}; check that the peer was built \
                 from {file}",
                article = if message.starts_with('A') { "an" } else { "a" },
            )),
            _ => status,
        }
    }
}

/// Whether the messages of a request can be read at all: none is compressed here.
///
/// # Errors
/// The status, with the compressions that are accepted among its metadata.
pub(crate) fn check_encoding(metadata: &MetadataMap) -> Result<(), Status> {
    let encoding = match metadata.get("grpc-encoding") {
        Some(encoding) if encoding.as_bytes() != b"identity" => encoding,
        _ => return Ok(()),
    };
    let encoding = quoted(&String::from_utf8_lossy(encoding.as_bytes()));
    let mut status = Status::unimplemented(format!(
        "messages compressed with {encoding} cannot be read here; send them uncompressed, with \
         grpc-encoding identity or none"
    ));
    let accepted = MetadataValue::from_static("identity");
    status
        .metadata_mut()
        .insert("grpc-accept-encoding", accepted);
    Err(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_reading_a_message_is_said_anew() {
        for status in [
            Status::cancelled("decode"),
            Status::internal("h2 protocol error"),
            Status::unavailable("gone"),
        ] {
            let readable = TICKER_REQUEST.readable(status.clone());
            assert_eq!(readable.code(), status.code());
            assert_eq!(readable.message(), status.message());
        }
    }

    #[test]
    fn an_encoding_is_refused_in_clean_words_and_identity_is_none() {
        let of = |encoding: &[u8]| {
            let mut headers = MetadataMap::new().into_headers();
            let value = tonic::codegen::http::HeaderValue::from_bytes(encoding);
            headers.insert("grpc-encoding", value.expect("a header"));
            check_encoding(&MetadataMap::from_headers(headers))
        };
        assert!(of(b"identity").is_ok());
        assert!(check_encoding(&MetadataMap::new()).is_ok());
        let hostile = "gzip\u{202e}".repeat(1_000);
        for encoding in ["gzip", "", &hostile] {
            let status = of(encoding.as_bytes()).expect_err("not accepted");
            assert_eq!(status.code(), Code::Unimplemented);
            assert!(proto::text::is_printable(status.message()), "{status:?}");
            assert!(status.message().len() < 300, "{status:?}");
            assert_eq!(
                status.metadata().get("grpc-accept-encoding").unwrap(),
                "identity"
            );
        }
    }
}
