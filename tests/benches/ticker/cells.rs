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
const PACE: u64 = 10_000;

/// A reader that does not get to run for so long misses nothing. On a machine with other work, less
/// would not do.
const SHORTEST_TICK: Duration = Duration::from_millis(20);
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// Rounds of each, in turns.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

const LIMIT: Duration = Duration::from_secs(30);

/// Subscribers, connections, symbols. Real users have a connection each; those of the last one come
/// through programs that serve fifty of them.
///
/// The server also moves a market on, one step for each symbol and tick. A lone subscriber bears all
/// of that; many share it.
const SHAPES: [(usize, usize, usize); 7] = [
    (1, 1, 1),
    (1, 1, 50),
    (100, 100, 1),
    (100, 100, 50),
    (1_000, 1_000, 1),
    (1_000, 1_000, 50),
    (1_000, 20, 1),
];

/// What one of the two did in all rounds, and per round.
struct Cell {
    cpu_us_each: Vec<f64>,
    received: Received,
}

pub(crate) fn run(quick: bool) {
    let runtime = Runtime::new().expect("the system has threads");
    let (rounds, round) = if quick {
        (1, Duration::from_secs(1))
    } else {
        (ROUNDS, ROUND)
    };
    let mut delays = Vec::new();
    println!(
        "Server and bare tonic stream in turns, {rounds} x {} s each. CPU time of the sending process, medians:\n",
        round.as_secs()
    );
    println!(
        "| subscribers x symbols, connections | tick, ms | bytes an update: server | bare | \
         CPU, µs an update: server | bare | server to bare | updates a second and core: server | bare |"
    );
    println!("|---|{}", "---:|".repeat(8));
    for (subscribers, connections, symbols) in SHAPES {
        let shape = Shape {
            subscribers,
            connections,
            symbols,
        };
        let name = format!("{subscribers} x {symbols}, {connections}");
        let tick = tick(shape);
        let [server, bare] = measure_both(&runtime, shape, tick, rounds, round);
        println!(
            "| {name} | {} | {} |",
            tick.as_millis(),
            costs(&server, &bare)
        );
        delays.push((name, server.received, bare.received));
    }
    println!("\nDelay from the trade to the receiving task, ms, over all rounds:\n");
    println!(
        "| subscribers x symbols, connections | server: p50 | p99 | left out | bare: p50 | p99 | left out |"
    );
    println!("|---|{}", "---:|".repeat(6));
    for (name, server, bare) in delays {
        println!("| {name} | {} | {} |", lateness(&server), lateness(&bare));
    }
}

fn costs(server: &Cell, bare: &Cell) -> String {
    let bytes = |cell: &Cell| cell.received.bytes as f64 / cell.received.delays_ms.len() as f64;
    let median = |values: &[f64]| percentile(values, 50.0);
    let (server_us, bare_us) = (median(&server.cpu_us_each), median(&bare.cpu_us_each));
    // Of rounds side by side, so that a busy moment meets both.
    let pairs = server.cpu_us_each.iter().zip(&bare.cpu_us_each);
    let ratios: Vec<_> = pairs.map(|(server, bare)| server / bare).collect();
    format!(
        "{:.0} | {:.0} | {server_us:.2} | {bare_us:.2} | {:.2} | {:.0} | {:.0}",
        bytes(server),
        bytes(bare),
        median(&ratios),
        1e6 / server_us,
        1e6 / bare_us,
    )
}

fn lateness(received: &Received) -> String {
    format!(
        "{:.1} | {:.1} | {}",
        percentile(&received.delays_ms, 50.0),
        percentile(&received.delays_ms, 99.0),
        received.conflated
    )
}

/// The server and the bare ticker, in turns.
fn measure_both(
    runtime: &Runtime,
    shape: Shape,
    tick: Duration,
    rounds: usize,
    round: Duration,
) -> [Cell; 2] {
    let ticks = (round.as_secs_f64() / tick.as_secs_f64()).ceil().max(2.0);
    let window = tick.mul_f64(ticks);
    let server = Server::start(&[
        "--tick",
        &format!("{}ms", tick.as_millis()),
        "--log",
        "error",
        "--any-symbol",
    ]);
    let (bare, bare_uri) = bare_ticker(tick);
    let processes = [(server.uri(), server.id()), (bare_uri, bare.id())];
    let mut cells = [(); 2].map(|()| Cell {
        cpu_us_each: Vec::new(),
        received: Received::default(),
    });
    for _ in 0..rounds {
        for ((uri, pid), cell) in processes.iter().zip(&mut cells) {
            let (cpu_us_each, received) = runtime.block_on(measure(uri, *pid, shape, tick, window));
            cell.cpu_us_each.push(cpu_us_each);
            cell.received.add(received);
        }
    }
    cells
}

/// The tick at which all subscribers together get [`PACE`], or nearly so.
fn tick(shape: Shape) -> Duration {
    let burst = (shape.subscribers * shape.symbols) as u64;
    let tick = Duration::from_millis(1_000 * burst / PACE);
    tick.clamp(SHORTEST_TICK, LONGEST_TICK)
}

/// One round of one of the two, over whole ticks: CPU in microseconds an update, and what came.
async fn measure(
    uri: &str,
    pid: u32,
    shape: Shape,
    tick: Duration,
    window: Duration,
) -> (f64, Received) {
    let crowd = Crowd::gather(uri, shape).await;
    // Away from the tick, so that no burst is cut in two.
    sleep(tick / 2).await;
    crowd.begin(1);
    let before = (crowd.updates(), process_seconds(pid));
    sleep(window).await;
    let after = (crowd.updates(), process_seconds(pid));
    crowd.begin(0);
    let received = crowd.disperse(1).await.swap_remove(0);
    let cpu_us_each = (after.1 - before.1) * 1e6 / (after.0 - before.0) as f64;
    (cpu_us_each, received)
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
