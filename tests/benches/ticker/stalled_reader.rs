//! Readers that stop for half a minute among a hundred others: what the others notice, what the
//! server holds meanwhile, and what they are given when they read again.

use std::{
    fmt,
    thread::{self, JoinHandle},
    time::Duration,
};

use tests::{
    Server,
    analysis::percentile,
    memory::resident_bytes,
    subscriber::{HTTP2_WINDOW, Subscriber, connect},
};
use tokio::{
    runtime::{self, Runtime},
    sync::watch,
};

use crate::crowd::{Crowd, Received, Shape, now_us};

const TICK_MS: f64 = 100.0;

const OTHERS: Shape = Shape {
    subscribers: 100,
    connections: 100,
    symbols: 10,
};

/// Of a reader that stops: so many that it fills every window meanwhile.
const SYMBOLS: usize = 200;

/// How a reader stops.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// It takes no messages; its connection is served meanwhile, pings are answered.
    Reading { window: Option<u32> },
    /// Its whole program stands still, as after Ctrl-Z.
    Everything,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reading { window: Some(_) } => "takes no messages, windows of 64 KiB (HTTP/2's)",
            Self::Reading { window: None } => "takes no messages, windows of 2 MiB (tonic's)",
            Self::Everything => "whole program stopped, windows of 64 KiB",
        })
    }
}

/// What a reader got after it had stopped.
#[derive(Debug, Default)]
struct Resumed {
    /// Updates that were older than a tick when it went on, and the age of the oldest.
    old: u64,
    oldest_ms: f64,
    conflated: u64,
    received: u64,
    trades: u64,
    /// How the stream ended, if it did.
    ended: Option<String>,
}

pub(crate) fn run(quick: bool) {
    let seconds = if quick { [2, 6, 2] } else { [10, 30, 10] };
    let server = Server::start(&["--tick", "100ms", "--log", "error", "--any-symbol"]);
    let runtime = Runtime::new().expect("the system has threads");
    let crowd = runtime.block_on(Crowd::gather(&server.uri(), OTHERS));
    let (orders_tx, orders) = watch::channel(Order::Read);
    let readers: Vec<_> = [
        Stop::Reading {
            window: Some(HTTP2_WINDOW),
        },
        Stop::Reading { window: None },
        Stop::Everything,
    ]
    .into_iter()
    .map(|stop| Reader::start(&server, stop, orders.clone()))
    .collect();

    let mut memory = Vec::new();
    let mut phase = |index: usize| {
        crowd.begin(index + 1);
        let mut most = 0;
        for _ in 0..seconds[index] {
            thread::sleep(Duration::from_secs(1));
            most = most.max(resident_bytes(server.id()));
        }
        memory.push(most);
    };
    phase(0);
    orders_tx.send_replace(Order::Stand);
    phase(1);
    orders_tx.send_replace(Order::Read);
    phase(2);
    orders_tx.send_replace(Order::End);
    let parts = runtime.block_on(crowd.disperse(3));

    println!(
        "Three readers of {SYMBOLS} symbols stop for {} s among {} others of {} symbols; a tick is {TICK_MS} ms.\n",
        seconds[1], OTHERS.subscribers, OTHERS.symbols
    );
    println!(
        "| | delay of the others, ms: p50 | p99 | most | left out | server's memory, MB, most |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    for ((name, part), memory) in ["before", "while they stand", "after"]
        .iter()
        .zip(&parts)
        .zip(memory)
    {
        println!("| {name} | {} | {:.1} |", delays(part), memory as f64 / 1e6);
    }
    println!(
        "\n| reader | old updates that it got | the oldest, s | trades | received | left out | and then |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|");
    for reader in readers {
        let stop = reader.stop;
        let resumed = reader.thread.join().expect("no reader fails");
        assert_eq!(resumed.received + resumed.conflated, resumed.trades);
        println!(
            "| {stop} | {} | {:.1} | {} | {} | {} | {} |",
            resumed.old,
            resumed.oldest_ms / 1e3,
            resumed.trades,
            resumed.received,
            resumed.conflated,
            resumed.ended.as_deref().unwrap_or("goes on"),
        );
    }
}

fn delays(part: &Received) -> String {
    format!(
        "{:.1} | {:.1} | {:.1} | {}",
        percentile(&part.delays_ms, 50.0),
        percentile(&part.delays_ms, 99.0),
        percentile(&part.delays_ms, 100.0),
        part.conflated
    )
}

/// What the readers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Read,
    Stand,
    End,
}

/// A reader on a thread of its own, which can be held without holding anybody else.
struct Reader {
    stop: Stop,
    thread: JoinHandle<Resumed>,
}

impl Reader {
    fn start(server: &Server, stop: Stop, orders: watch::Receiver<Order>) -> Self {
        let uri = server.uri();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built");
            runtime.block_on(read(&uri, stop, orders))
        });
        Self { stop, thread }
    }
}

async fn read(uri: &str, stop: Stop, mut orders: watch::Receiver<Order>) -> Resumed {
    let window = match stop {
        Stop::Reading { window } => window,
        Stop::Everything => Some(HTTP2_WINDOW),
    };
    let mut subscriber = Subscriber::on(&connect(uri, window).await).await;
    for symbol in 0..SYMBOLS {
        subscriber.ask(&format!("SYM{symbol}"));
    }
    let mut resumed = Resumed::default();
    let mut stood_until_us = 0;
    loop {
        let order = *orders.borrow();
        match order {
            Order::End => break,
            Order::Stand => {
                stand(stop, &mut orders).await;
                stood_until_us = now_us();
            }
            Order::Read => {}
        }
        let update = match subscriber.next().await {
            Ok(Some(update)) => update,
            Ok(None) => {
                resumed.ended = Some("the stream is over".to_owned());
                break;
            }
            Err(status) => {
                resumed.ended = Some(format!("{:?}: {}", status.code(), status.message()));
                break;
            }
        };
        let age_ms = (stood_until_us - update.trade_time_us) as f64 / 1e3;
        if age_ms > TICK_MS && !update.snapshot {
            resumed.old += 1;
            resumed.oldest_ms = resumed.oldest_ms.max(age_ms);
        }
    }
    let tally = subscriber.tally();
    resumed.received = tally.received();
    resumed.conflated = tally.conflated();
    resumed.trades = tally.counts().map(|count| count.trades()).sum();
    resumed
}

/// Until there is another order.
async fn stand(stop: Stop, orders: &mut watch::Receiver<Order>) {
    match stop {
        Stop::Reading { .. } => {
            let other = orders.wait_for(|order| *order != Order::Stand);
            other.await.expect("orders go on");
        }
        // On this thread is also what serves the connection.
        Stop::Everything => {
            while *orders.borrow() == Order::Stand {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
