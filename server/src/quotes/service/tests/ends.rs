//! What ends a stream: a request that is none, a limit, a client that left, the server's own end.

use super::*;

#[tokio::test(start_paused = true)]
async fn asking_for_nothing_is_refused() {
    for lab in [false, true] {
        let mut client = Client::start(lab);
        client.half_close();
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("no symbol was asked for"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_symbol_ends_its_own_stream_only() {
    let mut client = Client::start(false);
    client.ask("AAPL");
    let long = "A".repeat(10_000);
    for bad in ["", "A B", "A\u{7}B", &long] {
        let (bad_tx, mut bad_rx) = open(&client.service);
        bad_tx.send(request(bad)).expect("the stream runs");
        let status = bad_rx.next().await.expect("a status").expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains("letters"), "{}", status.message());
        assert!(status.message().len() < 400);
    }
    client.symbols(5).await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_symbols_is_said() {
    let mut client = Client::start(false);
    for n in 0..=MAX_SYMBOLS {
        client.ask(&format!("S{n}"));
    }
    let status = client.refusal().await;
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1000"), "{}", status.message());
}

#[tokio::test(start_paused = true)]
async fn a_request_over_the_limit_is_an_invalid_argument() {
    let mut client = Client::start(false);
    let requests_tx = client.requests_tx.as_ref().expect("not half-closed");
    let oversize = Err(Status::out_of_range("too large"));
    requests_tx.send(oversize).expect("the stream runs");
    let status = client.refusal().await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("131072 bytes"));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_the_clients_fault() {
    let mut client = Client::start(false);
    client.ask("AAPL");
    client.update().await;
    let requests_tx = client.requests_tx.as_ref().expect("not half-closed");
    // As the transport reports it.
    let unreadable = Status::internal("failed to decode Protobuf message: invalid tag value: 0");
    requests_tx.send(Err(unreadable)).expect("the stream runs");
    let end = client.next().await.expect("a last word");
    let status = end.expect_err("not an update");
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("fin.proto"), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_requests_ends_the_stream_and_says_the_limit() {
    for action in [TickerAction::Unspecified, TickerAction::Subscribe] {
        let mut client = Client::start(false);
        for _ in 0..=MAX_REQUESTS_AT_ONCE {
            client.act(action, "AAPL");
        }
        let status = client.refusal().await;
        assert_eq!(status.code(), Code::ResourceExhausted);
        let limit = format!("{MAX_REQUESTS_AT_ONCE} at once and {MAX_REQUESTS_A_SECOND} a second");
        assert!(status.message().contains(&limit), "{}", status.message());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_asks_for_nothing_is_ended_and_one_that_has_asked_is_not() {
    let mut silent = Client::start(false);
    let mut asked = Client::start(false);
    asked.ask("AAPL");
    let status = loop {
        tokio::select! {
            end = silent.updates_rx.next() => break end.expect("a word").expect_err("an end"),
            update = asked.updates_rx.next() => {
                update.expect("an update").expect("no error");
            }
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("within 1m"), "{status:?}");
    // One update for each tick of ten times as long.
    asked.symbols(10 * IDLE.as_secs() as usize).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_is_ended_and_its_place_is_free() {
    let service = Client::start(false).service;
    tokio::time::sleep(TICK).await;
    let places = || {
        let taken = (0..MAX_STREAMS).map_while(|_| service.permits.take(None).ok());
        taken.collect::<Vec<_>>().len()
    };
    let (requests_tx, mut updates_rx) = open(&service);
    let free = places();
    requests_tx.send(request("AAPL")).expect("the stream runs");
    updates_rx
        .next()
        .await
        .expect("an update")
        .expect("no error");
    tokio::time::sleep(IDLE - TICK).await;
    assert_eq!(places(), free, "it may still read");
    tokio::time::sleep(IDLE).await;
    assert_eq!(places(), free + 1, "it keeps its place");
    let status = updates_rx
        .next()
        .await
        .expect("a word")
        .expect_err("an end");
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("no update was read for 1m"),
        "{status:?}"
    );
    // And where it is its end that is not read.
    let (requests_tx, updates_rx) = open(&service);
    requests_tx.send(request("N@T")).expect("the stream runs");
    tokio::time::sleep(IDLE * 2 + TICK).await;
    assert_eq!(places(), free + 1, "it keeps its place");
    drop(updates_rx);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_left_is_forgotten() {
    let client = Client::start(false);
    // Also one that waits for nothing, to whom nothing will ever be sent in vain.
    for symbol in [Some("AAPL"), None] {
        let (gone_tx, gone_rx) = open(&client.service);
        if let Some(symbol) = symbol {
            gone_tx.send(request(symbol)).expect("the stream runs");
        }
        drop(gone_rx);
        // The task owns the other end of the requests.
        timeout(TICK, gone_tx.closed())
            .await
            .expect("the task is over");
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_gives_a_reason_even_to_one_who_does_not_read() {
    let mut client = Client::start(false);
    for n in 0..100 {
        client.ask(&format!("S{n}"));
    }
    client.update().await;
    let reason = "the server is shutting down".to_owned();
    client.shutdown_tx.send_replace(Some(reason));
    let requests_tx = client.requests_tx.take().expect("not half-closed");
    requests_tx.closed().await; // the task is over, though nobody read
    let status = client.refusal().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the server is shutting down");
}
