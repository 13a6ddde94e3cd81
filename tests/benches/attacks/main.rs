//! What an attack costs a call that is going on beside it: the witness's round trips, the server's
//! memory, and what was refused. A report, not an assertion.
//!
//!     cargo bench -p tests --bench attacks [-- [--seconds 3] [NAME...]]
//!
//! With names, only the rows whose names hold one of them. Each attack runs in a process of its own.

mod attacker;
mod witness;

use std::{
    env, thread,
    time::{Duration, Instant},
};

use attacker::{ATTACKS, Attack};
use tests::{
    Process, Server,
    cpu::{process_seconds, process_wait_seconds},
    memory::resident_bytes,
};
use witness::Witness;

/// Set for the copy of this program that attacks: the name of the attack, and whom.
const NAME: &str = "ATTACK";
const ADDR: &str = "ATTACK_ADDR";
const SECONDS: &str = "ATTACK_SECONDS";

/// Over which the witness has the server for itself before the attack, and how long after it memory
/// may take to be given back.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(1);

/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// How long anything may take that ends by itself.
const LIMIT: Duration = Duration::from_secs(60);

/// The stop is judged against this.
const DRAIN: Duration = Duration::from_millis(300);

fn main() {
    if let Ok(name) = env::var(NAME) {
        return attack(&name);
    }
    let (seconds, names) = arguments();
    println!(
        "| attack | witness, ms: p50 | p99 | max | lost | memory, MiB: before | most | after | \
         server's CPU, % | waits for a CPU, %: server | witness | what became of it |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    );
    for attack in &ATTACKS {
        if names.is_empty() || names.iter().any(|name| attack.name.contains(&**name)) {
            row(attack, seconds.max(attack.min_seconds));
        }
    }
}

/// `--seconds`, and the names.
fn arguments() -> (u64, Vec<String>) {
    let mut seconds = 3;
    let mut names = Vec::new();
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match &*arg {
            // Cargo's own.
            "--bench" => {}
            "--seconds" => {
                let text = args.next().unwrap_or_default();
                let number = text.parse();
                seconds = number.unwrap_or_else(|_| panic!("--seconds takes a number"));
            }
            _ => names.push(arg),
        }
    }
    (seconds, names)
}

/// The attacker's process: attacks, and says on stdout what became of it.
fn attack(name: &str) {
    let variable = |name| env::var(name).expect("set by the row");
    let attack = ATTACKS.iter().find(|attack| attack.name == name);
    let attack = attack.expect("a row has this name");
    let addr = variable(ADDR).parse().expect("an address");
    let seconds = variable(SECONDS).parse().expect("a number");
    let until = Instant::now() + Duration::from_secs(seconds);
    println!("{}", (attack.run)(addr, until));
}

fn row(attack: &Attack, seconds: u64) {
    let drain = format!("{}ms", DRAIN.as_millis());
    let mut args = vec!["--drain", &*drain, "--any-symbol"];
    args.extend(attack.server);
    let server = Server::start(&args);
    let pid = server.id();
    let witness = Witness::start(server.addr());
    thread::sleep(BEFORE);
    let before = resident_bytes(pid);
    let (cpu, wait) = (process_seconds(pid), process_wait_seconds(pid));
    let from = Instant::now();
    witness.begin();
    let mut attacker = attacker(attack, &server, seconds);
    let half = Duration::from_secs(seconds) / 2;
    let mut most = before;
    while attacker.ended().is_none() && !(attack.stops_the_server && from.elapsed() > half) {
        assert!(from.elapsed() < LIMIT, "{} does not end", attack.name);
        thread::sleep(SAMPLE);
        most = most.max(resident_bytes(pid));
    }
    let share = |seconds: f64| 100.0 * seconds / from.elapsed().as_secs_f64();
    let cpu = share(process_seconds(pid) - cpu);
    let wait = share(process_wait_seconds(pid) - wait);
    let seen = witness.end();
    let witness_wait = share(seen.wait_seconds);
    let mut outcome = Vec::new();
    let after = if attack.stops_the_server {
        let stopping = Instant::now();
        let output = server.stop();
        let took = stopping.elapsed().as_secs_f64();
        outcome.push(format!(
            "ended {took:.2} s after SIGTERM (drain {drain}), exit code {:?}",
            output.code
        ));
        "-".to_owned()
    } else {
        thread::sleep(AFTER);
        if attack.counts_log_lines {
            outcome.push(format!("{} lines of log", server.stderr().lines().count()));
        }
        mib(resident_bytes(pid))
    };
    outcome.push(attacker.wait(LIMIT).stdout.trim().to_owned());
    println!(
        "| {} | {:.2} | {:.2} | {:.2} | {} | {} | {} | {after} | {cpu:.0} | {wait:.0} | {witness_wait:.1} | {} |",
        attack.name,
        seen.p50_ms,
        seen.p99_ms,
        seen.max_ms,
        seen.lost,
        mib(before),
        mib(most),
        outcome.join("; "),
    );
}

/// The attack in a process of its own.
fn attacker(attack: &Attack, server: &Server, seconds: u64) -> Process {
    let program = env::current_exe().expect("a program knows its own path");
    let env = [
        (NAME, attack.name.to_owned()),
        (ADDR, server.addr().to_string()),
        (SECONDS, seconds.to_string()),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value));
    Process::start(program, &[], &env)
}

fn mib(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
