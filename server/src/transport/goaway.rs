//! The last word to a peer before its connection is closed, as HTTP/2 has it (RFC 9113, 6.8).

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The peer does what would wear us out: it is to try less.
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// How long a peer that was turned away is given to hear of it.
const HEARING: Duration = Duration::from_secs(1);

/// No settings of ours: what must come first on a connection.
const EMPTY_SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Streams up to this one may have been served: any, or none, which a client may then open elsewhere.
pub(super) const ANY_STREAM: u32 = 0x7fff_ffff;
const NO_STREAM: u32 = 0;

/// A GOAWAY frame that says why.
pub(super) fn goaway(last_stream: u32, words: &str) -> Vec<u8> {
    const GOAWAY: u8 = 7;
    let length = 8 + words.len();
    let mut frame = Vec::with_capacity(9 + length);
    let [_, length @ ..] = (length as u32).to_be_bytes();
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&[GOAWAY, 0, 0, 0, 0, 0]);
    frame.extend_from_slice(&last_stream.to_be_bytes());
    frame.extend_from_slice(&ENHANCE_YOUR_CALM.to_be_bytes());
    frame.extend_from_slice(words.as_bytes());
    frame
}

/// Turns away a peer that has just connected.
pub(crate) async fn turn_away(mut connection: TcpStream, words: &str) {
    let mut last_words = EMPTY_SETTINGS.to_vec();
    last_words.extend(goaway(NO_STREAM, words));
    // A new socket has room for it; a peer that is gone already needs no words.
    if connection.try_write(&last_words).is_err() {
        return;
    }
    // Closed with something unread, TCP would reset the connection and take the words back.
    let _ = connection.shutdown().await;
    let _ = timeout(HEARING, async {
        let mut unread = [0; 1_024];
        while connection.read(&mut unread).await.is_ok_and(|n| n > 0) {}
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_as_the_rfc_draws_it() {
        let frame = goaway(ANY_STREAM, "calm");
        assert_eq!(frame[..9], [0, 0, 12, 7, 0, 0, 0, 0, 0]);
        assert_eq!(frame[9..17], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb]);
        assert_eq!(&frame[17..], b"calm");
    }
}
