//! The screen at three widths, as a person sees it.

use audio::{
    measure::Level,
    near_end::{EchoCanceller, NearEndStats},
};

use proto::callcenter::{self, event};

use super::*;
use crate::{
    device::DeviceStats,
    engine::{
        EngineStatus,
        call_stats::{CallStats, MosStats},
        delay::Stages,
        echo_control::EchoStatus,
    },
    session::SessionStatus,
};

fn device(name: &str) -> DeviceStats {
    DeviceStats {
        name: name.to_owned(),
        ..DeviceStats::default()
    }
}

fn level(rms_dbfs: f32, peak_dbfs: f32) -> Option<Level> {
    Some(Level {
        rms_dbfs,
        peak_dbfs,
    })
}

fn in_call() -> CallStatus {
    CallStatus {
        elapsed: Duration::from_secs(75),
        engine: EngineStatus {
            near_level: level(-23.4, -12.0),
            far_level: level(-127.0, -127.0),
            call_stats: CallStats {
                now: Some(Stages {
                    capture_device: 4_000,
                    framing: 10_000,
                    uplink: 38_300,
                    ..Stages::default()
                }),
                mos: Some(MosStats {
                    now: Some(4.31),
                    newest: 4.31,
                    worst: 2.0,
                    mean: 4.2,
                }),
                ..CallStats::default()
            },
            near_end: Some(NearEndStats {
                erle_db: Some(41.7),
                ..NearEndStats::default()
            }),
            echo: EchoStatus {
                message: "echo canceller off: the microphone does not hear the speaker".to_owned(),
                ..EchoStatus::default()
            },
            microphone: device("Built-in Audio Analog Stereo"),
            speaker: device("USB Headset"),
            ..EngineStatus::default()
        },
        session: SessionStatus {
            line: Line::Connected,
            round_trip: Some(Duration::from_micros(1_240)),
            ..SessionStatus::default()
        },
        dropped: 3,
        on_hold: false,
        recording: false,
    }
}

fn screen(change: impl FnOnce(&mut CallStatus)) -> Screen {
    let mut status = in_call();
    change(&mut status);
    let mut screen = Screen::default();
    screen.update(status);
    screen
}

/// Panics with both where they differ.
fn assert_shows(screen: &Screen, (width, height): (usize, usize), expected: &[&str]) {
    let lines = screen.lines(width, height);
    assert_eq!(lines, expected, "\n{}\n", lines.join("\n"));
}

#[test]
fn a_call_at_80_columns() {
    assert_shows(
        &screen(|_| ()),
        (79, 24),
        &[
            "01:15 in call  mouth-to-ear 52 ms  MOS 4.3  concealed 0.0 %  rtt 1.2 ms",
            "you  ████████████···│····  -23.4 dBFS  peak -12.0  Built-in Audio Analog Stereo",
            "far  ····················  silent      peak     -  USB Headset",
            "echo canceller off: the microphone does not hear the speaker",
        ],
    );
}

#[test]
fn a_call_at_40_columns() {
    assert_shows(
        &screen(|_| ()),
        (39, 24),
        &[
            "01:15 in call  mouth-to-ear 52 ms",
            "you  █████│··  -23.4 dBFS  peak -12.0",
            "far  ········  silent      peak     -",
            "echo canceller off: the microphone does",
            "not hear the speaker",
        ],
    );
}

#[test]
fn a_muted_call_at_20_columns_or_in_one_row() {
    let muted = screen(|status| status.engine.muted = true);
    assert_shows(
        &muted,
        (19, 24),
        &["MUTED in call 52 ms", "you  MUTED", "far  silent"],
    );
    assert_shows(&muted, (79, 1), &["MUTED in call 52 ms"]);
    // Whatever else is cut there.
    let stalled = screen(|status| {
        status.engine.muted = true;
        status.session.line = Line::Stalled;
    });
    assert_shows(&stalled, (19, 1), &["MUTED line stalled…"]);
}

#[test]
fn where_the_time_goes_at_80_columns() {
    let mut screen = screen(|_| ());
    screen.toggle(Panel::Details);
    assert_eq!(
        screen.lines(79, 24)[4..],
        [
            "mouth to ear 52.3 ms:",
            "capture device    4.0  framing          10.0  processing        0.0",
            "codec             0.0  uplink           38.3  server            0.0",
            "downlink          0.0  jitter buffer     0.0  resampler         0.0",
            "playback device   0.0",
            "round trip     1.2 ms  buffer           0 ms  concealed       0.0 %",
            "dropped             3  drift           0 ppm  echo           -42 dB",
            "xruns               0",
        ]
    );
    screen.toggle(Panel::Details);
    assert_eq!(screen.lines(79, 24).len(), 4);
}

#[test]
fn what_no_row_is_left_for_is_counted() {
    let mut screen = screen(|_| ());
    screen.toggle(Panel::Details);
    let lines = screen.lines(79, 8);
    assert_eq!(
        lines[6],
        "codec             0.0  uplink           38.3  server            0.0"
    );
    assert_eq!(lines[7..], ["… 5 rows more"]);
}

#[test]
fn a_call_that_is_recorded_says_so() {
    let recorded = screen(|status| status.recording = true);
    let stalled = screen(|status| {
        status.recording = true;
        status.session.line = Line::Stalled;
    });
    for width in [79, 39, 35, 31] {
        for screen in [&recorded, &stalled] {
            let line = &screen.lines(width, 24)[0];
            assert!(line.contains("  REC"), "{width}: {line}");
        }
    }
    assert_eq!(recorded.lines(19, 1), ["in call 52 ms REC"]);
}

#[test]
fn which_canceller_is_on_is_among_the_details() {
    let mut screen = screen(|status| status.engine.echo.kind = Some(EchoCanceller::Kalman));
    screen.toggle(Panel::Details);
    let lines = screen.lines(79, 24).join("\n");
    assert!(lines.contains("canceller      kalman"), "{lines}");
}

#[test]
fn the_keys_at_40_columns() {
    let mut screen = screen(|_| ());
    screen.toggle(Panel::Details);
    screen.toggle(Panel::Keys);
    assert_eq!(
        screen.lines(39, 24)[5..],
        [
            "m      mute, and unmute",
            "space  talk while held (or mute)",
            "h      hold, and back",
            "0-9    telephone keys, also * and #",
            "+ -    volume",
            "d      where the time goes",
            "?      these keys",
            "^Z     stop; fg or bg: go on",
            "q      hang up",
        ]
    );
}

#[test]
fn what_is_unknown_is_not_shown_as_a_figure() {
    let lost = screen(|status| {
        status.session.line = Line::Lost {
            why: String::new(),
            attempt: None,
        }
    });
    assert_eq!(lost.lines(79, 1), ["line lost ? ms"]);
    assert!(lost.lines(79, 24)[0].contains("mouth-to-ear ? ms  MOS ?"));
    let mut untold = screen(|status| status.engine.call_stats.now = None);
    untold.toggle(Panel::Details);
    assert_eq!(
        untold.lines(39, 24)[5..7],
        ["mouth to ear unknown: the server has", "not told its part"]
    );
    let mut silent = screen(|status| {
        let stats = &mut status.engine.call_stats;
        stats.newest = stats.now.take();
        stats.mos.as_mut().unwrap().now = None;
    });
    silent.toggle(Panel::Details);
    let lines = silent.lines(79, 24);
    assert!(lines[0].contains("mouth-to-ear ? ms  MOS ?"), "{lines:?}");
    assert_eq!(lines[4], "mouth to ear unknown: nothing is heard");
}

#[test]
fn volume_and_warnings_are_shown_where_there_are_any() {
    let louder = screen(|status| status.engine.volume_db = 6);
    assert!(louder.lines(79, 24)[2].contains("volume +6 dB"));
    assert!(louder.lines(39, 24)[2].contains("volume +6 dB"));
    let loudest = screen(|status| status.engine.volume_db = 12);
    assert!(loudest.lines(79, 24)[2].contains("volume +12 dB, max"));
    assert!(loudest.lines(39, 24)[2].contains("+12 dB"));
    // The name stays, as far as there is room.
    for (screen, end) in [(&louder, "  USB Headset"), (&loudest, "  USB Hea…")] {
        let row = &screen.lines(79, 24)[2];
        assert!(row.ends_with(end), "{row}");
    }

    let mut clipped = screen(|_| ());
    for ms in [100, 200] {
        clipped.update(CallStatus {
            elapsed: Duration::from_millis(75_000 + ms),
            engine: EngineStatus {
                near_level: level(-6.0, 0.0),
                ..in_call().engine
            },
            ..in_call()
        });
    }
    assert_eq!(
        clipped.lines(79, 24)[3],
        "clipping: the microphone is too loud"
    );
    assert_eq!(
        clipped.lines(39, 3)[1],
        "clipping: the microphone is too loud"
    );
    // It is too long for one row here, and one's own state stays.
    let narrow = clipped.lines(31, 3);
    assert!(
        narrow[1].starts_with("clipping") && narrow[2].starts_with("you"),
        "{narrow:?}"
    );
    assert_eq!(
        clipped.lines(19, 24)[3..],
        ["clipping: the", "microphone is too", "loud"]
    );
}

#[test]
fn a_terminal_of_any_size_is_not_exceeded() {
    let mut screen = screen(|status| status.engine.muted = true);
    for panel in [Panel::Details, Panel::Keys] {
        screen.toggle(panel);
        for (width, height) in (1..120).flat_map(|width| [1, 3, 24].map(|height| (width, height))) {
            let lines = screen.lines(width, height);
            assert!(lines.len() <= height && !lines.is_empty());
            for line in lines {
                assert!(text_layout::columns_of(&line) <= width, "{width}: {line:?}");
            }
        }
    }
}

#[test]
fn without_a_terminal_it_is_one_line() {
    assert_eq!(
        screen(|_| ()).plain_line(),
        "01:15 in call  you -23.4 dBFS  far silent      mouth-to-ear 52 ms  MOS 4.3  concealed 0.0 %  rtt 1.2 ms"
    );
}

/// A status in which Ada speaks, and so many others are there.
fn with_others(others: usize) -> CallStatus {
    let party = |n: usize| callcenter::Party {
        leg_id: format!("leg-{n}"),
        display_name: if n == 1 {
            "Ada".to_owned()
        } else {
            format!("Guest {n}")
        },
        ..callcenter::Party::default()
    };
    let roster = callcenter::Roster {
        parties: (0..=others).map(party).collect(),
        own_leg_id: "leg-0".to_owned(),
    };
    let talking = callcenter::Talking {
        leg_id: "leg-1".to_owned(),
        talking: true,
    };
    let mut status = in_call();
    for event in [event::Event::Roster(roster), event::Event::Talking(talking)] {
        status
            .session
            .parties
            .apply(&callcenter::Event { event: Some(event) });
    }
    status
}

#[test]
fn the_others_are_shown_and_a_warning_goes_before_them() {
    let mut screen = Screen::default();
    screen.update(with_others(2));
    let lines = screen.lines(80, 10);
    assert_eq!(lines[3], "with Ada (talking), Guest 2");
    screen.update(with_others(40));
    assert!(
        screen
            .lines(60, 10)
            .iter()
            .all(|line| line.chars().count() <= 60)
    );
    // Where there is no room for both.
    for ms in [100, 200] {
        let mut status = with_others(2);
        status.elapsed += Duration::from_millis(ms);
        status.engine.near_level = level(-6.0, 0.0);
        screen.update(status);
    }
    let lines = screen.lines(80, 10);
    assert!(
        lines[3].starts_with("with Ada") && lines[4].starts_with("clipping"),
        "{lines:?}"
    );
    for height in [3, 4] {
        let lines = screen.lines(80, height);
        assert!(
            !lines.iter().any(|line| line.starts_with("with ")),
            "{lines:?}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("clipping")),
            "{lines:?}"
        );
    }
}

#[test]
fn who_is_on_hold_sees_that_on_any_screen() {
    let mut status = with_others(1);
    status.on_hold = true;
    let mut screen = Screen::default();
    screen.update(status);
    for (width, height) in [(80, 10), (80, 3), (80, 1), (25, 10)] {
        let lines = screen.lines(width, height);
        assert!(
            lines.iter().any(|line| line.contains("ON HOLD")),
            "{lines:?}"
        );
    }
}
