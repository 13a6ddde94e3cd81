//! What the ticker costs and how late its updates are, beside the simplest ticker that tonic can
//! serve, in one run; and what a reader that stops does to the others and to the server.
//!
//!     cargo bench -p tests --bench ticker [-- --quick]
//!     cargo bench -p tests --bench ticker -- --stalled-reader [--quick]

mod cells;
mod crowd;
mod stalled_reader;

use std::{env, io::Write as _, time::Duration};

use tests::bare_ticker;

/// Set, to its tick in microseconds, for the copy of this program that is the bare ticker.
const BARE: &str = "TICKER_BENCH_BARE";

fn main() {
    if let Ok(tick) = env::var(BARE) {
        let tick = tick.parse().expect("microseconds");
        bare_ticker::serve(Duration::from_micros(tick), |addr| {
            println!("bare ticker on http://{addr}");
            std::io::stdout().flush().expect("somebody reads");
        });
    }
    let is_given = |flag: &str| env::args().any(|arg| arg == flag);
    let quick = is_given("--quick");
    if is_given("--stalled-reader") {
        stalled_reader::run(quick);
    } else {
        cells::run(quick);
    }
}
