//! How long after each fault of a line is over its call is heard again: from outside, a softphone that
//! sends a tone to the server's echo and writes what it hears to a file.
//!
//!     cargo bench -p tests --bench faults [-- --quick] [WORDS OF A FAULT]

mod ear;
mod line;

use std::{
    env,
    time::{Duration, Instant},
};

use ear::Ear;
use line::{Fault, Line, wait_about};
use tests::analysis::percentile;

/// Calls that go through one fault together.
const CALLS: usize = 5;

/// Nothing waits for longer.
const LIMIT: Duration = Duration::from_secs(15);

/// A call is well for so long before its line breaks: what was before it is forgotten.
const WELL: Duration = Duration::from_secs(2);

/// Outages, in seconds: one in which the old connection is not given up yet, and one after it.
const OUTAGES: [f64; 2] = [2.0, 10.0];

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    // Cargo adds `--bench`.
    let wanted = args.iter().find(|arg| !arg.starts_with("--"));
    let rounds = if quick { 1 } else { 4 };
    println!(
        "| fault | for about | times | heard again after, ms: p50 | p95 | most | never within 15 s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for fault in Fault::ALL {
        if wanted.is_some_and(|wanted| !fault.words().contains(wanted.as_str())) {
            continue;
        }
        for outage_s in OUTAGES {
            let outage = Duration::from_secs_f64(outage_s);
            let times: Option<Vec<_>> = (0..rounds).map(|_| round(fault, outage)).collect();
            let Some(times) = times else { break };
            let times: Vec<_> = times.into_iter().flatten().collect();
            let heard: Vec<f64> = times.iter().flatten().copied().collect();
            let [p50, p95, most] = [50.0, 95.0, 100.0].map(|percent| match heard[..] {
                [] => "-".to_owned(),
                _ => format!("{:.0}", percentile(&heard, percent)),
            });
            println!(
                "| {} | {outage_s:.0} s | {} | {p50} | {p95} | {most} | {} |",
                fault.words(),
                times.len(),
                times.len() - heard.len(),
            );
        }
    }
}

/// Of each call, how long after the fault was over it was heard again, in milliseconds. `None` where
/// this machine cannot have the fault.
fn round(fault: Fault, outage: Duration) -> Option<Vec<Option<f64>>> {
    let mut line = Line::new(fault)?;
    let address = line.address();
    let ears: Vec<_> = (0..CALLS)
        .map(|_| Ear::call(&address, |args| line.softphone(args)))
        .collect();
    for ear in &ears {
        let heard = ear.hears_after(Instant::now(), LIMIT);
        assert!(heard.is_some(), "no call begins\n{}", ear.said());
    }
    wait_about(WELL);
    line.break_down();
    wait_about(outage);
    // A server is back when it listens.
    let begun = Instant::now();
    line.mend();
    let mended = match fault {
        Fault::ServerKilled | Fault::NameGone => Instant::now(),
        _ => begun,
    };
    let times = ears.iter().map(|ear| {
        let heard = ear.hears_after(mended, LIMIT);
        if heard.is_none() {
            println!("never heard again:\n{}", ear.said());
        }
        Some((heard? - mended).as_secs_f64() * 1e3)
    });
    Some(times.collect())
}
