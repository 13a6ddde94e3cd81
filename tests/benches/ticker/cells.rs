//! The table: 1, 100 and 1,000 subscribers to 1 and 50 symbols, the server and the bare ticker in
//! turns at the same pace.
//!
//! Neither is driven to its limit, where a figure would tell of the machine's other work: both send
//! at a pace that leaves most of a core idle, and the CPU time of their threads is what counts.

use std::{env, time::Duration};

use tests::{Process, Server, analysis::percentile, cpu::process_seconds};
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    BARE,
    crowd::{Crowd, Received, Shape},
};

/// Updates a second that a cell aims at.
const PACE: u64 = 25_000;

/// Timers have milliseconds: at a shorter one, trades fall between two looks.
const SHORTEST_TICK: Duration = Duration::from_millis(5);
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// Rounds of each, in turns.
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);

const LIMIT: Duration = Duration::from_secs(30);

/// Subscribers, connections, symbols. Real users have a connection each; those of the last one
/// come through programs that serve fifty of them.
const SHAPES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (1, 1, 50),
    (100, 100, 1),
    (100, 100, 50),
    (1_000, 1_000, 1),
    (1_000, 1_000, 50),
    (1_000, 20, 1),
];

/// What one of the two did in one round.
struct Round {
    updates: u64,
    cpu_us: f64,
    received: Received,
}

impl Round {
    fn cpu_us_each(&self) -> f64 {
        self.cpu_us / self.updates as f64
    }
}

pub(crate) fn run(quick: bool) {
    let runtime = Runtime::new().expect("the system has threads");
    let (rounds, round) = if quick {
        (1, Duration::from_secs(1))
    } else {
        (ROUNDS, ROUND)
    };
    println!(
        "Server and bare tonic stream in turns, {rounds} x {} s each, medians. CPU of the sending process;\n\
         delay from the trade to the receiving task, over all rounds.\n",
        round.as_secs()
    );
    println!(
        "| subscribers x symbols (connections) | tick ms | updates/s | updates per second per core: server | bare | \
         CPU µs per update: server | bare | ratio | delay ms p50 / p99: server | bare | bytes: server | bare | \
         conflated: server | bare |"
    );
    println!("|---|{}", "---:|".repeat(13));
    for (subscribers, connections, symbols) in SHAPES {
        let shape = Shape {
            subscribers,
            connections,
            symbols,
        };
        println!("{}", row(&runtime, shape, rounds, round));
    }
}

fn row(runtime: &Runtime, shape: Shape, rounds: usize, round: Duration) -> String {
    let tick = tick(shape);
    let ticks = (round.as_secs_f64() / tick.as_secs_f64()).ceil().max(3.0);
    let window = tick.mul_f64(ticks);
    let micros = format!("{}us", tick.as_micros());
    let server = Server::start(&["--tick", &micros, "--log", "error"]);
    let (bare, bare_uri) = bare_ticker(tick);
    let (mut servers, mut bares) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let measure = |uri: &str, pid| runtime.block_on(measure(uri, pid, shape, tick, window));
        servers.push(measure(&server.uri(), server.id()));
        bares.push(measure(&bare_uri, bare.id()));
    }
    let each = |rounds: &[Round]| median(rounds.iter().map(Round::cpu_us_each));
    let (server_us, bare_us) = (each(&servers), each(&bares));
    let ratio = median(
        servers
            .iter()
            .zip(&bares)
            .map(|(server, bare)| server.cpu_us_each() / bare.cpu_us_each()),
    );
    let pace = median(
        servers
            .iter()
            .map(|round| round.updates as f64 / window.as_secs_f64()),
    );
    let (server, bare) = (total(servers), total(bares));
    format!(
        "| {} x {} ({}) | {} | {pace:.0} | {:.0} | {:.0} | {server_us:.2} | {bare_us:.2} | {ratio:.2} | \
         {:.1} / {:.1} | {:.1} / {:.1} | {:.0} | {:.0} | {} | {} |",
        shape.subscribers,
        shape.symbols,
        shape.connections,
        tick.as_millis(),
        1e6 / server_us,
        1e6 / bare_us,
        percentile(&server.delays_ms, 50.0),
        percentile(&server.delays_ms, 99.0),
        percentile(&bare.delays_ms, 50.0),
        percentile(&bare.delays_ms, 99.0),
        server.bytes as f64 / server.delays_ms.len() as f64,
        bare.bytes as f64 / bare.delays_ms.len() as f64,
        server.conflated,
        bare.conflated,
    )
}

/// The tick at which all subscribers together get [`PACE`], or nearly so.
fn tick(shape: Shape) -> Duration {
    let burst = (shape.subscribers * shape.symbols) as u64;
    let tick = Duration::from_millis(1_000 * burst / PACE);
    tick.clamp(SHORTEST_TICK, LONGEST_TICK)
}

/// One round of one of the two, over whole ticks.
async fn measure(uri: &str, pid: u32, shape: Shape, tick: Duration, window: Duration) -> Round {
    let crowd = Crowd::gather(uri, shape).await;
    // Away from the tick, so that no burst is cut in two.
    sleep(tick / 2).await;
    crowd.begin(1);
    let before = (crowd.updates(), process_seconds(pid));
    sleep(window).await;
    let after = (crowd.updates(), process_seconds(pid));
    crowd.begin(0);
    let received = crowd.disperse(1).await.swap_remove(0);
    Round {
        updates: after.0 - before.0,
        cpu_us: (after.1 - before.1) * 1e6,
        received,
    }
}

fn total(rounds: Vec<Round>) -> Received {
    let mut total = Received::default();
    for round in rounds {
        total.add(round.received);
    }
    total
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    percentile(&values.collect::<Vec<_>>(), 50.0)
}

/// The bare ticker in a process of its own, as the server is.
fn bare_ticker(tick: Duration) -> (Process, String) {
    let program = env::current_exe().expect("a program knows its own path");
    let env = [(BARE.to_owned(), tick.as_micros().to_string())];
    let process = Process::start(program, &[], &env);
    let line = process.wait_for_stdout("bare ticker on ", LIMIT);
    let uri = line.trim_start_matches("bare ticker on ").to_owned();
    (process, uri)
}
