//! Legs that say more than time passes, and read what is answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use audio::{Encoder, Format};
use bytes::Bytes;
use proto::callcenter::{AudioChunk, Join, call_center_client::CallCenterClient};
use tokio::{runtime, time::timeout};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::{Outcomes, left};

/// What one leg of an attack says, over and over.
#[derive(Clone)]
struct Sound {
    chunk: AudioChunk,
    lasts: Duration,
}

/// Stereo PCM at 48 kHz, 20 ms a chunk; of one call for all legs, or as many as there are
/// `connections`.
pub(crate) fn legs(
    effects: &str,
    legs: usize,
    connections: usize,
    addr: SocketAddr,
    until: Instant,
) -> String {
    let sound = Sound {
        chunk: AudioChunk {
            audio_data: vec![1; 3_840].into(),
            join: join(effects),
            ..format("pcm", 48_000, 2)
        },
        lasts: Duration::from_millis(20),
    };
    run(&sound, legs, connections, addr, until)
}

/// What costs most to work on at once: 120 ms of stereo Opus.
pub(crate) fn long_packets(addr: SocketAddr, until: Instant) -> String {
    let format = Format::parse("opus", 48_000, 2).expect("a format of ours");
    let lasts = Duration::from_millis(120);
    let samples: Vec<_> = (0..2 * format.samples_in(lasts))
        .map(|n| 0.3 * ((n * n) as f32 * 1e-3).sin())
        .collect();
    let mut packet = Vec::new();
    let mut encoder = Encoder::new(format, 64_000).expect("libopus works");
    encoder
        .encode(&samples, &mut packet)
        .expect("a whole packet");
    let sound = Sound {
        chunk: AudioChunk {
            audio_data: Bytes::from(packet),
            ..self::format("opus", 48_000, 2)
        },
        lasts,
    };
    run(&sound, 20, 1, addr, until)
}

/// Twelve programs that play a file each as fast as it is taken: mono, 16 kHz.
pub(crate) fn bots(addr: SocketAddr, until: Instant) -> String {
    let sound = Sound {
        chunk: AudioChunk {
            audio_data: vec![1; 640].into(),
            ..format("pcm", 16_000, 1)
        },
        lasts: Duration::from_millis(20),
    };
    run(&sound, 12, 12, addr, until)
}

fn format(codec: &str, sample_rate: i32, channels: i32) -> AudioChunk {
    AudioChunk {
        codec: codec.to_owned(),
        sample_rate,
        channels,
        ..AudioChunk::default()
    }
}

fn join(effects: &str) -> Option<Join> {
    (!effects.is_empty()).then(|| Join {
        effects: effects.to_owned(),
        ..Join::default()
    })
}

fn run(sound: &Sound, legs: usize, connections: usize, addr: SocketAddr, until: Instant) -> String {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the system has descriptors");
    runtime.block_on(async {
        let from = Instant::now();
        let answered = Arc::<AtomicU64>::default();
        let mut channels = Vec::new();
        for _ in 0..connections {
            let endpoint = Endpoint::from_shared(format!("http://{addr}")).expect("a URI");
            channels.push(endpoint.connect().await.expect("the server is there"));
        }
        let legs: Vec<_> = (0..legs)
            .map(|n| {
                let channel = channels[n % connections].clone();
                let (sound, answered) = (sound.clone(), Arc::clone(&answered));
                tokio::spawn(async move {
                    let leg = leg(channel, sound, &answered);
                    timeout(left(until), leg).await
                })
            })
            .collect();
        let count = legs.len() as f64;
        let mut outcomes = Outcomes::default();
        for leg in legs {
            match leg.await.expect("no panic") {
                Ok((code, words)) => outcomes.add(format!("{code:?}: {words}")),
                Err(_) => outcomes.add("carried to the end"),
            }
        }
        let media = sound.lasts.as_secs_f64() * answered.load(Ordering::Relaxed) as f64;
        let times = media / from.elapsed().as_secs_f64();
        format!(
            "{}; {:.0} times real time, {:.1} each",
            outcomes.words(),
            times,
            times / count
        )
    })
}

/// Pours for ever; returns how it was ended.
async fn leg(channel: Channel, sound: Sound, answered: &AtomicU64) -> (Code, String) {
    let chunks = tokio_stream::iter(std::iter::repeat(sound.chunk));
    let response = CallCenterClient::new(channel).live_call(chunks).await;
    let mut answers = match response {
        Ok(response) => response.into_inner(),
        Err(status) => return (status.code(), status.message().to_owned()),
    };
    loop {
        match answers.message().await {
            Ok(Some(_)) => answered.fetch_add(1, Ordering::Relaxed),
            Ok(None) => return (Code::Ok, "ended".to_owned()),
            Err(status) => return (status.code(), status.message().to_owned()),
        };
    }
}
