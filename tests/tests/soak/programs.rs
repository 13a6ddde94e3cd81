//! Legs and ticker streams of programs that speak gRPC, each until its time is over.

use std::time::Duration;

use proto::{
    callcenter::{AudioChunk, Join, call_center_client::CallCenterClient},
    fin::{TickerAction, TickerRequest, stock_ticker_client::StockTickerClient},
};
use tests::tally::Tally;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};

use crate::schedule::Leg;

/// Far more than anything here needs.
const LIMIT: Duration = Duration::from_secs(60);

/// 10 ms at 8 kHz.
const CHUNK_BYTES: usize = 160;

/// How a stream ended, where that is not OK.
pub(crate) type End = Result<(), Status>;

async fn connect(uri: &str) -> Result<Channel, Status> {
    let endpoint = Endpoint::from_shared(uri.to_owned()).expect("a URI");
    let connected = endpoint.connect().await;
    connected.map_err(|error| Status::unavailable(error.to_string()))
}

fn chunk(said: u64) -> AudioChunk {
    AudioChunk {
        audio_data: (said as u8).to_le_bytes().repeat(CHUNK_BYTES).into(),
        sample_rate: 8_000,
        channels: 1,
        codec: "pcm".to_owned(),
        join: Some(Join {
            effects: "none".to_owned(),
            ..Join::default()
        }),
        ..AudioChunk::default()
    }
}

/// One leg. Whoever is told of all that it said hears exactly that.
///
/// # Errors
/// The status that ended it.
///
/// # Panics
/// It heard something else than it said, or hangs.
pub(crate) async fn leg(uri: String, leg: Leg, lasts: Duration) -> End {
    let channel = connect(&uri).await?;
    let (requests_tx, requests_rx) = mpsc::unbounded_channel();
    let mut client = CallCenterClient::new(channel);
    let response = client.live_call(UnboundedReceiverStream::new(requests_rx));
    let response = timeout(LIMIT, response)
        .await
        .expect("a leg is not answered");
    let mut answers = response?.into_inner();
    let until = Instant::now() + lasts;
    let mut clock = interval(Duration::from_millis(10));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut said, mut heard) = (0, 0);
    while Instant::now() < until {
        match leg {
            Leg::Talks | Leg::GoesAway | Leg::NeverReads => {
                clock.tick().await;
            }
            // A window of its own, or all of it would wait in this process.
            Leg::Pours if said > heard + 50 => {}
            Leg::Pours => tokio::task::yield_now().await,
            Leg::Garbage => {
                let garbage = AudioChunk {
                    audio_data: vec![1; CHUNK_BYTES + 1].into(),
                    ..chunk(said)
                };
                let _ = requests_tx.send(garbage);
                let status = loop {
                    match next(&mut answers).await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("garbage is taken"),
                        Err(status) => break status,
                    }
                };
                return match status.code() {
                    Code::InvalidArgument => Ok(()),
                    _ => Err(status),
                };
            }
        }
        if leg != Leg::Pours || said <= heard + 50 {
            // The leg may be over, which the answers say.
            let _ = requests_tx.send(chunk(said));
            said += 1;
        }
        if leg != Leg::NeverReads && (leg != Leg::Pours || said > heard + 50) {
            hear(&mut answers, &mut heard).await?;
        }
    }
    if matches!(leg, Leg::GoesAway | Leg::NeverReads) {
        return Ok(());
    }
    drop(requests_tx);
    while heard < said {
        hear(&mut answers, &mut heard).await?;
    }
    assert_eq!(next(&mut answers).await?, None);
    Ok(())
}

async fn hear(answers: &mut tonic::Streaming<AudioChunk>, heard: &mut u64) -> End {
    let answer = next(answers).await?.expect("an answer to each chunk");
    assert_eq!(answer.audio_data, chunk(*heard).audio_data, "chunk {heard}");
    *heard += 1;
    Ok(())
}

async fn next<T>(stream: &mut tonic::Streaming<T>) -> Result<Option<T>, Status> {
    timeout(LIMIT, stream.message())
        .await
        .expect("a stream hangs")
}

/// One ticker stream: every trade comes or is said to be left out.
///
/// # Errors
/// The status that ended it.
///
/// # Panics
/// A trade is missing.
pub(crate) async fn quotes(uri: String, symbols: usize, lasts: Duration) -> End {
    let channel = connect(&uri).await?;
    let (requests_tx, requests_rx) = mpsc::unbounded_channel();
    let mut client = StockTickerClient::new(channel);
    let request = |number: usize, action: TickerAction| TickerRequest {
        ticker_symbol: format!("S{number}"),
        action: action.into(),
    };
    for number in 0..symbols {
        let _ = requests_tx.send(request(number, TickerAction::Subscribe));
    }
    let response = client.subscribe_to_stock_updates(UnboundedReceiverStream::new(requests_rx));
    let response = timeout(LIMIT, response)
        .await
        .expect("a stream is not answered");
    let mut updates = response?.into_inner();
    let mut tally = Tally::default();
    let until = Instant::now() + lasts;
    let mut turn = 0;
    while Instant::now() < until {
        let update = next(&mut updates).await?.expect("no end without a reason");
        tally.take(&update).unwrap_or_else(|why| panic!("{why}"));
        turn += 1;
        if turn % 100 == 0 {
            let number = turn / 100 % symbols;
            let _ = requests_tx.send(request(number, TickerAction::Unsubscribe));
            let _ = requests_tx.send(request(number, TickerAction::Subscribe));
        }
    }
    Ok(())
}
