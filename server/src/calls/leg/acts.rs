//! What a peer says that it does, as the contract has it.

use proto::{
    callcenter::{AudioChunk, event},
    text::quoted,
};

use super::leg::LegError;
use crate::calls::bridge::Act;

/// So many events in one chunk are enough for anything that a person does.
const MAX_EVENTS: usize = 16;

/// How long a key may be pressed, in milliseconds.
const DTMF_DURATION_MS: std::ops::RangeInclusive<u32> = 40..=8_000;

/// What the peer does by this chunk, the n-th of its stream from 1.
///
/// # Errors
/// An event that only the server tells, or a key that there is not.
pub(super) fn acts_of(chunk: &AudioChunk, n: u64) -> Result<Vec<Act>, LegError> {
    let count = chunk.events.len();
    if count > MAX_EVENTS {
        return Err(LegError::Event {
            chunk: n,
            what: format!("it has {count} events; accepted are at most {MAX_EVENTS}"),
        });
    }
    let acts = chunk.events.iter().filter_map(|event| event.event.as_ref());
    acts.map(|event| act_of(event).map_err(|what| LegError::Event { chunk: n, what }))
        .collect()
}

fn act_of(event: &event::Event) -> Result<Act, String> {
    match event {
        event::Event::Muted(muted) => Ok(Act::Mute(muted.muted)),
        event::Event::Hold(hold) => Ok(Act::Hold(hold.on_hold)),
        event::Event::Dtmf(dtmf) => {
            let is_key = matches!(
                dtmf.digit.as_bytes(),
                [b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D']
            );
            if !is_key {
                return Err(format!(
                    "events.dtmf.digit is {}; accepted is one of 0 to 9, *, # and A to D",
                    quoted(&dtmf.digit)
                ));
            }
            if dtmf.duration_ms != 0 && !DTMF_DURATION_MS.contains(&dtmf.duration_ms) {
                return Err(format!(
                    "events.dtmf.duration_ms is {}; accepted are {} to {}, or 0 for 100",
                    dtmf.duration_ms,
                    DTMF_DURATION_MS.start(),
                    DTMF_DURATION_MS.end()
                ));
            }
            Ok(Act::Dtmf {
                digit: dtmf.digit.clone(),
                duration_ms: dtmf.duration_ms,
            })
        }
        event::Event::Roster(_)
        | event::Event::Joined(_)
        | event::Event::Left(_)
        | event::Event::Talking(_) => Err(
            "events holds what only the server tells; accepted are muted, hold and dtmf".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use proto::callcenter::{Dtmf, Event, Left, Muted};

    use super::*;

    fn chunk(event: event::Event) -> AudioChunk {
        AudioChunk {
            events: vec![Event { event: Some(event) }],
            ..AudioChunk::default()
        }
    }

    fn dtmf(digit: &str, duration_ms: u32) -> AudioChunk {
        chunk(event::Event::Dtmf(Dtmf {
            digit: digit.to_owned(),
            duration_ms,
            ..Dtmf::default()
        }))
    }

    #[test]
    fn what_a_peer_may_say_is_an_act() {
        let muted = chunk(event::Event::Muted(Muted {
            muted: true,
            ..Muted::default()
        }));
        assert_eq!(acts_of(&muted, 1).unwrap(), [Act::Mute(true)]);
        for digit in ["0", "9", "*", "#", "A", "D"] {
            assert!(acts_of(&dtmf(digit, 0), 1).is_ok(), "{digit}");
        }
        // An event of a later version.
        let unknown = AudioChunk {
            events: vec![Event { event: None }],
            ..AudioChunk::default()
        };
        assert_eq!(acts_of(&unknown, 1).unwrap(), []);
    }

    #[test]
    fn more_than_a_person_does_is_refused() {
        let mut chunk = dtmf("1", 0);
        chunk.events = vec![chunk.events[0].clone(); 17];
        let error = acts_of(&chunk, 7).unwrap_err().to_string();
        assert!(
            error.contains("17 events") && error.contains("at most 16"),
            "{error}"
        );
        chunk.events.pop();
        assert_eq!(acts_of(&chunk, 7).unwrap().len(), 16);
    }

    #[test]
    fn what_it_may_not_is_named_with_what_it_may() {
        for (chunk, names) in [
            (dtmf("12", 0), "digit is \"12\""),
            (dtmf("E", 0), "A to D"),
            (dtmf("", 0), "one of 0 to 9"),
            (dtmf("1", 39), "40 to 8000"),
            (dtmf("1", 8_001), "40 to 8000"),
            (
                chunk(event::Event::Left(Left::default())),
                "muted, hold and dtmf",
            ),
        ] {
            let error = acts_of(&chunk, 7).unwrap_err().to_string();
            assert!(
                error.starts_with("chunk 7: ") && error.contains(names),
                "{error}"
            );
        }
    }
}
