//! Attacks made of bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use tests::{
    attacks::{
        Attack, NO_WINDOW, UNREAD, WIDE_OPEN, flood, health, refused_leg, silent_leg, small_frames,
    },
    raw_http2::{PREFACE, RawConnection, frame, kind},
};

use super::{Outcomes, left};

/// How long nothing may come before all has come.
const QUIET: Duration = Duration::from_millis(300);

/// Streams whose answers are never read, on one connection.
pub(crate) fn unread(what: &str, addr: SocketAddr, until: Instant) -> String {
    let (_, attack) = UNREAD
        .iter()
        .find(|(name, _)| *name == what)
        .expect("a flood of this name");
    one_flood(WIDE_OPEN, *attack, addr, until)
}

/// Legs that are held, and windows full of frames of one byte.
pub(crate) fn small_frames_of_a_byte(addr: SocketAddr, until: Instant) -> String {
    one_flood(NO_WINDOW, small_frames, addr, until)
}

fn one_flood(window: u32, attack: Attack, addr: SocketAddr, until: Instant) -> String {
    let (mut raw, streams) = flood(addr, window, attack, 100_000).expect("the server is there");
    thread::sleep(left(until));
    let said = all_that_came(raw.socket());
    format!("{streams} streams went through; {}", words_of(&said))
}

/// The same health checks on sixteen connections.
pub(crate) fn sixteen_unread(addr: SocketAddr, until: Instant) -> String {
    let floods = (0..16).map(|_| thread::spawn(move || flood(addr, WIDE_OPEN, health, 60_000)));
    let floods: Vec<_> = floods.collect();
    let floods = floods.into_iter().map(|flood| flood.join());
    let unread: Vec<_> = floods.collect();
    thread::sleep(left(until));
    format!("{} connections", unread.len())
}

/// Legs that say nothing, as many as can be opened, again and again; what is answered is read.
pub(crate) fn open_streams(addr: SocketAddr, until: Instant) -> String {
    read_floods(silent_leg, addr, until)
}

/// Legs that are refused.
pub(crate) fn refused_legs(addr: SocketAddr, until: Instant) -> String {
    read_floods(refused_leg, addr, until)
}

fn read_floods(attack: Attack, addr: SocketAddr, until: Instant) -> String {
    let (mut connections, mut streams) = (0_u64, 0_u64);
    let mut outcomes = Outcomes::default();
    while !left(until).is_zero() {
        let Ok(mut raw) = RawConnection::try_open(addr, WIDE_OPEN) else {
            outcomes.add("not connected");
            continue;
        };
        connections += 1;
        let reading = raw.socket().try_clone().expect("a socket is cloned");
        let reader = thread::spawn(move || all_that_came(&reading));
        let mut next = 1;
        while !left(until).is_zero() && next < 2_000_000 {
            let bytes: Vec<_> = (0..50).flat_map(|n| attack(next + 2 * n)).collect();
            if raw.write(&bytes).is_err() {
                break;
            }
            next += 100;
            streams += 50;
        }
        let _ = raw.socket().shutdown(Shutdown::Write);
        outcomes.add(words_of(&reader.join().expect("no panic")));
    }
    format!(
        "{connections} connections, {streams} streams; {}",
        outcomes.words()
    )
}

/// Frames that ask for nothing, on one connection after the other.
pub(crate) fn frames(what: &str, addr: SocketAddr, until: Instant) -> String {
    let one = match what {
        "PING" => frame(kind::PING, 0, 0, &[7; 8]),
        "SETTINGS" => frame(kind::SETTINGS, 0, 0, &[]),
        "PRIORITY" => frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1]),
        "WINDOW_UPDATE" => frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        _ => frame(kind::UNKNOWN, 0, 0, &[]),
    };
    let batch = one.repeat(1_000);
    let mut sent = 0_u64;
    let mut outcomes = Outcomes::default();
    while !left(until).is_zero() {
        let Ok(mut raw) = RawConnection::try_open(addr, 65_535) else {
            outcomes.add("not connected");
            continue;
        };
        let reading = raw.socket().try_clone().expect("a socket is cloned");
        let reader = thread::spawn(move || all_that_came(&reading));
        while !left(until).is_zero() && raw.write(&batch).is_ok() {
            sent += 1_000;
        }
        let _ = raw.socket().shutdown(Shutdown::Write);
        outcomes.add(words_of(&reader.join().expect("no panic")));
    }
    format!("{sent} frames were taken; {}", outcomes.words())
}

/// Sockets that greet so far and then say nothing.
pub(crate) fn silent(greeting: &[u8], addr: SocketAddr, until: Instant) -> String {
    crowd(greeting, 2_000, addr, until)
}

/// Connections that greet as they should and then do nothing, but answer pings.
pub(crate) fn idle_connections(addr: SocketAddr, until: Instant) -> String {
    let greeting = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
    crowd(&greeting, 500, addr, until)
}

fn crowd(greeting: &[u8], count: usize, addr: SocketAddr, until: Instant) -> String {
    let mut sockets = Vec::new();
    for _ in 0..count {
        // Descriptors of our own may end before the server's do.
        let Ok(mut socket) = TcpStream::connect(addr) else {
            break;
        };
        let _ = socket.write_all(greeting);
        sockets.push(socket);
    }
    let count = sockets.len();
    thread::sleep(left(until));
    let mut outcomes = Outcomes::default();
    for socket in sockets {
        let _ = socket.set_nonblocking(true);
        outcomes.add(match still_open(&socket) {
            true => "still there".to_owned(),
            false => words_of(&[]),
        });
    }
    format!("{count} connected; {}", outcomes.words())
}

fn still_open(mut socket: &TcpStream) -> bool {
    let mut buffer = [0; 1_024];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// What a socket says until it is closed, or quiet.
fn all_that_came(mut socket: &TcpStream) -> Vec<u8> {
    let _ = socket.set_read_timeout(Some(QUIET));
    let mut came = Vec::new();
    let mut buffer = [0; 64 * 1_024];
    while let Ok(count @ 1..) = socket.read(&mut buffer) {
        came.extend(&buffer[..count]);
    }
    came
}

/// What the frames of a server say: of requests that were answered, refused, and of the connection.
fn words_of(said: &[u8]) -> String {
    let (mut answered, mut reset, mut goodbye) = (0, 0, None);
    let mut rest = said;
    while let [high, mid, low, kind, _, _, _, _, _, payload @ ..] = rest {
        let length = u32::from_be_bytes([0, *high, *mid, *low]) as usize;
        let Some((payload, after)) = payload.split_at_checked(length) else {
            break;
        };
        match *kind {
            kind::HEADERS => answered += 1,
            kind::RST_STREAM => reset += 1,
            kind::GOAWAY => {
                let words = payload.get(8..).unwrap_or_default();
                goodbye = Some(String::from_utf8_lossy(words).into_owned());
            }
            _ => {}
        }
        rest = after;
    }
    let streams = match (answered, reset) {
        (0, 0) => String::new(),
        _ => format!("{answered} answers, {reset} streams refused, "),
    };
    match goodbye {
        Some(words) if words.is_empty() => format!("{streams}goodbye"),
        Some(words) => format!("{streams}goodbye: {words}"),
        None => format!("{streams}closed or quiet"),
    }
}
