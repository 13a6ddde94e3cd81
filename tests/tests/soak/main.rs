//! Calls, quotes and faults for a while, from a seeded schedule, on the real programs: at the end
//! nothing is held that was not held at the beginning.
//!
//! Two minutes unless `SOAK_MINUTES` says otherwise; `script/soak` runs it for longer. `SOAK_SEED` makes
//! another schedule. Counts are judged; a delay only as far as this machine ran.
//!
//! Reading order: [`schedule`], [`soak`], [`lateness`].

mod calls;
mod footprint;
mod lateness;
mod programs;
mod schedule;
mod server_log;
mod soak;
mod softphone;

use std::{env, time::Duration};

use schedule::schedule;
use soak::Soak;

#[test]
fn nothing_is_held_at_the_end_that_was_not_held_at_the_beginning() {
    let minutes = number("SOAK_MINUTES", 2.0);
    let seed = number("SOAK_SEED", 1.0) as u64;
    let length = Duration::from_secs_f64(minutes * 60.0);
    let events = schedule(seed, length);
    println!("soak: seed {seed}, {} events in {length:?}", events.len());
    let mut soak = Soak::begin();
    soak.run(events, length);
    soak.judge();
}

fn number(name: &str, default: f64) -> f64 {
    env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}
